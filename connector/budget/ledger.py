"""
Who may make which page's token, as one process keeps it; leases.lua is the same for all of them.

Times are whole milliseconds of one clock that only the caller reads.
"""

from dataclasses import dataclass, field

from connector.model import Verdict


@dataclass(frozen=True, slots=True)
class Terms:
    """How long (milliseconds) a lease holds, and how long a token that was made is remembered."""

    lease: int
    memory: int


@dataclass(frozen=True, slots=True)
class Lease:
    nonce: str
    ends: int


@dataclass(frozen=True, slots=True)
class Replacement:
    """In place of ``refused``, ``made`` was made."""

    refused: str
    made: str
    ends: int

    def verdict(self, refused: str) -> Verdict:
        if refused == self.refused:
            return Verdict.REPLACED
        return Verdict.SPOILT if refused == self.made else Verdict.FOUGHT


@dataclass(slots=True)
class Ledger:
    """
    The leases and what was made lately.

    ``run`` names the life of whoever keeps it. A ledger that was emptied, restarted or put back to an
    old copy may have forgotten a lease under which a call is on its way, so it is cold, and grants
    nothing, for as long as a lease holds.
    """

    run: str = ""
    cold_until: int = 0
    leases: dict[str, Lease] = field(default_factory=dict)
    made: dict[str, Replacement] = field(default_factory=dict)

    def warm_up(self, run: str, terms: Terms, now: int) -> int:
        """How long it is cold yet."""
        if self.run != run:
            self.run, self.cold_until = run, now + terms.lease
        return max(0, self.cold_until - now)

    def claim(self, page_id: str, nonce: str, refused: str, terms: Terms, now: int) -> tuple[Verdict, int]:
        """The verdict, and how long what denies the lease may last."""
        if self.cold_until > now:
            return Verdict.BUSY, self.cold_until - now
        lease = self.leases.get(page_id)
        if lease and lease.ends > now and lease.nonce != nonce:
            return Verdict.BUSY, lease.ends - now
        made = self.made.get(page_id)
        if made and made.ends > now:
            return made.verdict(refused), made.ends - now
        self.leases[page_id] = Lease(nonce, now + terms.lease)
        return Verdict.HELD, 0

    def confirm(self, page_id: str, nonce: str, terms: Terms, now: int) -> bool:
        lease = self.leases.get(page_id)
        if self.cold_until > now or lease is None or lease.nonce != nonce or lease.ends <= now:
            return False
        self.leases[page_id] = Lease(nonce, now + terms.lease)
        return True

    def record(self, page_id: str, nonce: str, made: Replacement) -> None:
        self.made[page_id] = made
        self.give_back(page_id, nonce)

    def give_back(self, page_id: str, nonce: str) -> None:
        lease = self.leases.get(page_id)
        if lease and lease.nonce == nonce:
            del self.leases[page_id]
