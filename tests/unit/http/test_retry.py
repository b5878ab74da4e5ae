"""The few calls that are tried again where they are made."""

import pytest

from connector.errors import RejectedError, UnavailableError
from connector.http.retry import persistently
from tests.fakes.clock import FakeClock


class Telephone:
    """Is busy so many times before somebody answers."""

    def __init__(self, busy: int) -> None:
        self.busy = busy
        self.tries = 0

    async def call(self, who: str) -> str:
        self.tries += 1
        if self.tries <= self.busy:
            raise UnavailableError(f"busy {self.tries}")
        return who


async def test_what_a_lambda_calls_is_waited_for() -> None:
    phone = Telephone(busy=2)
    assert await persistently(lambda: phone.call("Hà"), FakeClock(auto=True)) == "Hà"
    assert phone.tries == 3


async def test_the_last_failure_is_raised_as_it_is() -> None:
    phone = Telephone(busy=9)
    with pytest.raises(UnavailableError, match="busy 4"):
        await persistently(lambda: phone.call("Hà"), FakeClock(auto=True))


async def test_waiting_is_the_business_of_the_clock() -> None:
    clock = FakeClock(auto=True)
    await persistently(lambda: Telephone(busy=0).call("Hà"), clock)
    assert clock.monotonic() == 1000.0
    phone = Telephone(busy=1)
    await persistently(lambda: phone.call("Hà"), clock)
    assert clock.monotonic() > 1000.0


async def test_what_will_never_pass_is_not_tried_again() -> None:
    tries = []

    async def refuse() -> None:
        tries.append(1)
        raise RejectedError("refused", "no")

    with pytest.raises(RejectedError):
        await persistently(refuse, FakeClock(auto=True))
    assert len(tries) == 1
