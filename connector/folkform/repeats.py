"""Telling generation 3's lasting fault from an outage and from a poison message (contracts B12)."""

from connector.errors import ContractError

ADVICE = (
    "generation 3 as published sets createdAt twice in one update, so a conversation's second message call "
    "fails for ever: mend that in FolkForm, or run its generation 1 or 2. Nothing is lost, the offsets stay"
)
TELLS = "createdAt"
# Two conversations whose messages fail while the rest of the same call passes are no coincidence.
REFUSED = 2
REMEMBERED = 1000


class Repeats:
    """What is known of second message calls. Once one has passed, they are known to work."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._refused: set[str] = set()
        self._work = False

    def passed(self, conversation_id: str) -> None:
        """A call with messages was taken."""
        self._work = self._work or conversation_id in self._passed
        if len(self._passed) < REMEMBERED:
            self._passed.add(conversation_id)

    def in_question(self, conversation_id: str, answer: str) -> bool:
        """
        Whether a 500 is worth a call that tells more: the same without messages.

        Raises:
            ContractError: FolkForm's own words told already.
        """
        if TELLS in answer:
            raise _lasting()
        return not self._work and conversation_id not in self._refused

    def refused(self, conversation_id: str) -> None:
        """
        The call failed, and the same without messages passed.

        Raises:
            ContractError: it is not this conversation's content.
        """
        self._refused.add(conversation_id)
        if len(self._refused) >= REFUSED:
            raise _lasting()


def _lasting() -> ContractError:
    return ContractError(
        "folkform cio/ingest: HTTP 500 for every further message call of a conversation", advice=ADVICE
    )
