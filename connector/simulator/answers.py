"""How Pancake says yes and no: bodies, codes and forms (contracts A3)."""

import random
from collections.abc import Mapping

import msgspec

from connector.clock import Clock
from connector.simulator import content
from connector.simulator.faults import HTML, Rule
from connector.simulator.limits import retry_after
from connector.simulator.options import PancakeOptions
from connector.simulator.replies import JSON, Reply

SENTENCES: Mapping[int, str] = {
    100: "Invalid request",
    101: "Invalid parameter",
    102: "Invalid access_token",
    103: "User access token is expired",
    105: "access_token renewed, please use new access_token",
    106: "Invalid access_token",
    107: "Permission denied",
    122: "Page subscription is expired",
    429: "Too many requests",
}
STATUSES: Mapping[int, int] = {102: 401, 103: 401, 105: 401, 106: 401, 107: 403, 122: 403}
ONE_SIDED_WINDOW = "Since must be provided with until"
NO_CUSTOMER = "customer_id is required"
NO_CONVERSATION = "Conversation not found"


class Answers:
    """Draws the form of each answer that the options leave to chance."""

    def __init__(self, options: PancakeOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._rng = random.Random(f"{options.seed}/answers")
        self._reads = 0

    def listing(self, body: bytes) -> Reply:
        """A list, its URLs signed anew if they are."""
        self._reads += 1
        return Reply(200, content.signed(body, self._reads) if self._options.signed_urls_change else body)

    def error(self, code: int | None, message: str = "") -> Reply:
        """A failure by its code, or by a sentence alone."""
        hidden = code is None or (self._options.codeless > 0 and self._chance(self._options.codeless))
        body = error_body(None if hidden else code, message or SENTENCES.get(code or 0, "Error"))
        status = STATUSES.get(code or 0, 200) if self._is_http(self._options.error_form) else 200
        if status != 200 and self._options.html_errors:
            return Reply(status, f"<html><body>{status}</body></html>".encode(), HTML)
        return Reply(status, body)

    def refusal(self) -> Reply:
        """Too many calls."""
        status = 429 if self._is_http(self._options.refusal) else 200
        headers = retry_after(self._options, self._clock.epoch_ms(), self._rng)
        return Reply(status, error_body(429, SENTENCES[429]), JSON, headers)

    def _is_http(self, form: str) -> bool:
        return form == "http" or (form == "mixed" and self._chance(self._options.http_share))

    def _chance(self, share: float) -> bool:
        return self._rng.random() < share


def error_body(code: int | str | None, message: str) -> bytes:
    code_part = {} if code is None else {"error_code": code}
    return msgspec.json.encode({"success": False, **code_part, "message": message})


def named(rule: Rule) -> Rule:
    """A rule for an error that gives no sentence gets Pancake's own."""
    if rule.action == "error" and isinstance(rule.code, int) and rule.message == "Internal Server Error":
        return msgspec.structs.replace(rule, message=SENTENCES.get(rule.code, rule.message))
    return rule
