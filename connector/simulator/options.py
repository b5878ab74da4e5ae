"""Every switch of the two simulators, with the awkward reality (contracts, 1 to 60) that it reproduces."""

import random
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from connector.errors import ConfigError

Latency = float | tuple[float, float]
"""Seconds; a pair is the range of a seeded uniform draw."""


@dataclass(slots=True)
class PancakeOptions:
    """May be changed while the simulator runs; a change counts from the next call on."""

    user_tokens: set[str] = field(default_factory=lambda: {"sim-user-token"})
    dead_user_tokens: set[str] = field(default_factory=set)
    """These get 103 (or 401, see ``error_form``)."""
    user_pages: dict[str, set[str]] = field(default_factory=dict)
    """User token → the pages that this user can see; a token that is not named here sees all."""
    page_list: Literal["categorized", "pages"] = "categorized"
    """The page list as it has been seen, or as it is documented (reality 10)."""
    page_states: dict[str, Literal["hidden", "inactivated", "nopermission"]] = field(default_factory=dict)
    """Page id → where the page list shows it; every other page is activated (reality 10)."""
    parked: dict[str, int] = field(default_factory=dict)
    """Page id → 122 (subscription expired) or 107 (permission denied) for all its page calls (reality 9)."""
    rate: int | None = 5
    """Calls a page may make in one second; None lifts it. Nobody is told when it changes (reality 6)."""
    page_rates: dict[str, int] = field(default_factory=dict)
    """Page id → its own limit in place of ``rate`` (reality 6)."""
    window: Literal["sliding", "fixed", "bucket"] = "sliding"
    """Any second, the server's seconds, or a bucket that is filled evenly; nobody knows (probe 4)."""
    refused_count: bool = True
    """Refused calls use up the window too; nobody knows."""
    penalty: float = 0.0
    """Seconds for which a page that was refused is refused everything; they begin anew with each refusal."""
    foreign_rate: float = 0.0
    """Calls a second that another program makes on each page's budget (reality 6)."""
    refusal: Literal["http", "body", "mixed"] = "mixed"
    """A call over the limit gets HTTP 429, HTTP 200 with the same body, or either by seed (reality 5)."""
    retry_after: Literal["none", "seconds", "date", "absurd"] = "none"
    """Whether, and how, a refusal says when to come back; ``absurd``: years, words, the past (reality 5)."""
    retry_after_seconds: int = 1
    """What it says, in seconds or as the date so far ahead (reality 5)."""
    error_form: Literal["body", "http", "mixed"] = "body"
    """Token and permission errors as HTTP 200 with success:false, as 401/403, or either by seed (1, 2)."""
    http_share: float = 0.5
    """How many of those that are ``mixed`` come as an HTTP status."""
    html_errors: bool = False
    """Errors of the ``http`` form carry an HTML page (reality 2)."""
    codeless: float = 0.0
    """Share of errors without their error_code (reality 1)."""
    conversation_page: int = 60
    """Conversations a list call returns (reality 11)."""
    message_page: int = 30
    """Messages a call returns; 20 and 25 have been seen (reality 21)."""
    message_order: Literal["newest_first", "oldest_first"] = "newest_first"
    """Order within one page of messages (reality 21)."""
    cursor_missing: Literal["empty", "restart", "error"] = "empty"
    """What a list call gives when its cursor conversation is gone (reality 13)."""
    cursor_moved: Literal["follow", "stay", "empty", "error"] = "follow"
    """What the next call gives when the cursor conversation has moved meanwhile: what is behind its new
    place, or behind its old one, or nothing, or an error (reality 13)."""
    cursor_inclusive: bool = False
    """A page begins with its cursor conversation: the last one never is empty (reality 14)."""
    cursor_ignored: bool = False
    """Every list call returns the first page again (reality 14)."""
    list_leaves_out: float = 0.0
    """Share of conversations that only a walk by inserted_at shows (reality 17)."""
    always_unread_first: bool = False
    """Every list has the unread ones first, also when nobody asked for it (reality 15)."""
    current_count_from: Literal["newest", "oldest"] = "newest"
    """What current_count counts: messages not wanted again, or the place in front of which the page ends;
    nobody knows (probe 1)."""
    current_count_ignored: bool = False
    """Every messages call returns the newest page again (reality 23)."""
    customer_id_required: bool = False
    """A messages call without customer_id is refused, the old behaviour (reality 27)."""
    unknown_conversation: Literal["error", "empty"] = "error"
    """What a messages call gives for a conversation that the page does not have."""
    window_filters: Literal["order_by", "updated_at", "inserted_at"] = "order_by"
    """Which time since/until look at; nobody knows (probe 2)."""
    window_leaves_out: float = 0.0
    """Share of conversations that a call with since/until never shows (reality 17)."""
    read_lag: float = 0.0
    """Seconds until a new message or an edit is listed although its conversation tells already (20)."""
    signed_urls_change: bool = False
    """Attachment URLs differ on each read although nothing changed (reality 31)."""
    webhook_url: str = ""
    """Where every change is posted to; nowhere when empty (reality 41)."""
    webhook_delay: Latency = 0.0
    """Seconds from the change to its delivery."""
    webhook_repeats: float = 0.0
    """Share of deliveries that are made twice, up to half a minute apart."""
    webhook_reorders: float = 0.0
    """Share of deliveries that come up to five seconds late, so that later ones overtake them."""
    webhook_gaps: float = 0.0
    """Share of changes that nobody is told of."""
    webhook_timeout: float = 5.0
    """Seconds until a delivery without an answer has failed."""
    latency: Latency = 0.0
    """Seconds before the answer."""
    seed: int = 1
    """For every draw that the options above leave to chance."""


@dataclass(slots=True)
class FolkFormOptions:
    """May be changed while the simulator runs; a change counts from the next call on."""

    generation: Literal[1, 2, 3] = 1
    """Which of the published backends it is: routes, checks and limits differ (42, 43, 47, 51, 52, 53)."""
    batch_upsert: int = 0
    """Conversations that ``conversation/batch-upsert`` takes; an extension, 0: not there (reality 58)."""
    second_ingest: Literal["raw", "plain", "works"] = "raw"
    """A second message call in generation 3: 500 with or without the database's words, or it works (B12)."""
    token: str = "sim-folkform-token"  # noqa: S105
    role_id: str = "65a000000000000000000001"
    organization_id: str = "65b000000000000000000001"
    rate: tuple[int, float] | None = (100, 60.0)
    """Calls per fixed window of seconds and client address; None lifts it (reality 50)."""
    latency: Latency = 0.0
    """Seconds before a call is applied."""
    latency_per_million: float = 0.0
    """Seconds more for each million stored messages: upsert-messages counts by a full scan (reality 55)."""
    body_limit: int | None = None
    """Bytes of a body that still pass, more is 413 (reality 51); None: as the generation has it."""
    head_limit: int = 4096
    """Bytes of request line and headers that still pass; more is 431 (reality 51)."""
    first_upsert_race: Literal["one", "duplicate", "error"] = "one"
    """Two first upserts of one conversation at once: one document, two, or HTTP 500 (realities 53, 54)."""
    single_session: bool = True
    """A login ends the session before it, in generation 1 (reality 52)."""
    keep: Literal["bytes", "digest"] = "bytes"
    """``digest`` keeps a SHA-256 in place of each message, for millions of them; they cannot be read back."""
    seed: int = 1


def change(options: object, given: dict[str, object]) -> None:
    """
    Set the named fields while the simulator runs.

    Raises:
        ConfigError: there is no such field, or the value does not fit; nothing was set.
    """
    before = msgspec.to_builtins(options)
    if unknown := sorted(given.keys() - before.keys()):
        raise ConfigError(f"no option {', '.join(unknown)}", advice=f"one of {', '.join(before)}")
    try:
        checked = msgspec.convert(before | given, type(options))
    except msgspec.ValidationError as error:
        raise ConfigError(f"option: {error}", advice="see docs/SIMULATORS.md") from None
    for name in given:
        setattr(options, name, getattr(checked, name))


def draw(latency: Latency, rng: random.Random) -> float:
    if isinstance(latency, tuple):
        return rng.uniform(*latency)
    return latency
