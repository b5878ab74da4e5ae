"""One batch on its way: sent, sent again, halved down to the culprit, until all of it is settled."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from connector.engine.packing import Batch
from connector.engine.weather import Moment, Weather
from connector.errors import DoubtfulError, RejectedError, RetryableError, UnknownOutcomeError
from connector.model import Problem, Record

# A whole batch is halved after so many doubtful answers, its parts at the first.
SPLIT_AFTER = 3


@dataclass(slots=True)
class Part:
    """
    Some records of the batch, and what was said of them so far.

    ``doubts``: doubtful answers with a call of somebody else passing before each; ``passes``: how many had
    passed at the last of them.
    """

    records: Sequence[Record]
    patience: int = 1
    tries: int = 0
    refusals: int = 0
    doubts: int = 0
    passes: int = -1


@dataclass(frozen=True, slots=True)
class Patience:
    """How often one record is refused, or doubted while others pass, before it is shelved."""

    refusals: int
    doubts: int


class Trial:
    """
    What is left of a batch, in parts that go out one after the other, and what is to be shelved.

    Pure: told what became of the call for ``part``, it says what is next.
    """

    def __init__(self, batch: Batch, records: Sequence[Record], problem: Problem | None = None) -> None:
        """``problem``: the only record cannot be read, and is shelved for it."""
        self.batch = batch
        self.tries = 0
        self.refused = False
        self.shelving = problem
        self.first_at = 0
        self._parts = [Part(records, SPLIT_AFTER)] if records else []
        self._since: Moment | None = None

    @property
    def done(self) -> bool:
        return not self._parts

    @property
    def part(self) -> Sequence[Record]:
        """What goes out, or to the shelf, next."""
        return self._parts[-1].records

    def passed(self) -> None:
        """The part is in the target, or on the shelf and acknowledged there."""
        self.refused = self.refused or self.shelving is not None
        self._parts.pop()
        self.tries = 0
        self.shelving = None

    def failed(self, problem: RetryableError, weather: Weather, lane: Hashable, patience: Patience) -> bool:
        """
        Nothing is known to be written.

        Returns whether to wait before ``part`` goes out; False when something else can go first.
        """
        self.tries += 1
        if isinstance(problem, DoubtfulError):
            return self._doubted(problem, weather, lane, patience)
        return not (isinstance(problem, UnknownOutcomeError) and self._too_slow(weather))

    def rejected(self, problem: RejectedError, patience: Patience) -> None:
        """Refused for what is in it: find the culprit, or shelve it."""
        part = self._parts[-1]
        if len(part.records) > 1:
            if problem.culprit is None:
                self._halve()
            else:
                self._single_out(problem.culprit)
            return
        part.refusals += 1
        if problem.status is None or part.refusals >= patience.refusals:
            self.shelving = Problem(
                problem.reason, str(problem), problem.status, part.refusals, problem.answer
            )

    @property
    def doubtful(self) -> bool:
        """Whether only calls of others can tell an outage from a record that never passes."""
        return not self.done and self._parts[-1].doubts > 0 and self.shelving is None

    def _doubted(self, problem: DoubtfulError, weather: Weather, lane: Hashable, patience: Patience) -> bool:
        part = self._parts[-1]
        since = self._since = self._since or weather.now()
        part.tries += 1
        part.doubts += weather.passes > part.passes
        part.passes = weather.passes
        if len(part.records) > 1:
            # Harmless, and the only way to learn something where nobody else passes.
            if part.tries < part.patience or weather.out:
                return True
            self._halve()
            return False
        if part.doubts >= patience.doubts and not weather.others_fail(lane, since):
            self.shelving = Problem(
                "refused_by_server", str(problem), problem.status, part.tries, problem.answer
            )
            return False
        # Its neighbours first.
        self._parts.insert(0, self._parts.pop())
        return self._parts[-1].tries > 0

    def _too_slow(self, weather: Weather) -> bool:
        """What is not answered in time again and again may be too much for one call."""
        part = self._parts[-1]
        part.tries += 1
        if len(part.records) == 1 or part.tries < SPLIT_AFTER or weather.out:
            return False
        self._halve()
        return True

    def _halve(self) -> None:
        records = self._parts.pop().records
        middle = len(records) // 2
        self._parts += [Part(records[middle:]), Part(records[:middle])]
        self.tries = 0

    def _single_out(self, culprit: int) -> None:
        records = self._parts.pop().records
        rest = [record for place, record in enumerate(records) if place != culprit]
        self._parts += [Part(rest), Part([records[culprit]])]
