"""
The errors, named for the reaction they call for.

ConnectorError
├─ RetryableError(after)       wait, then do the same again
│  ├─ RateLimitedError         also charged to the budget that all processes share
│  ├─ UnavailableError         nobody answered, or answered that it cannot now
│  ├─ UnknownOutcomeError      sent, but what came back says nothing: maybe done, so do it again
│  └─ DoubtfulError            the service failed on these events: an outage, or their content, for ever
├─ RejectedError(reason)       this content will never pass: shelve it, go on
├─ ParkedError(action)         this Facebook page needs a person; the other pages go on
└─ FatalError(advice)          stop the process, move no position any more
   ├─ UnauthorizedError        the service refuses the credentials, and a refresh did not help
   ├─ ConfigError              the settings are wrong (exit code 2)
   └─ ContractError            the other side is not what we were built for, or a topic is gone

No text of any error holds a token, a URL with its query, or a customer's words.
"""


class ConnectorError(Exception):
    """Everything this program raises on purpose."""


class RetryableError(ConnectorError):
    """The same call may pass later. ``after``: seconds the other side asked us to wait, if it did."""

    def __init__(self, message: str, *, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class RateLimitedError(RetryableError):
    """The API said that we call too often."""


class UnavailableError(RetryableError):
    """The service cannot be reached or cannot answer now."""


class UnknownOutcomeError(RetryableError):
    """The request was sent and may have been applied; every request we send may be sent again."""


class DoubtfulError(RetryableError):
    """
    The service answered these events with a fault of its own, which may be for ever.

    Tell by what happens to others: if their calls pass it is the content, if all fail it is an outage.
    ``status`` is the HTTP status; ``answer`` what the service said, for a dead letter's reader only.
    """

    def __init__(self, message: str, *, status: int, answer: str = "", after: float | None = None) -> None:
        super().__init__(message, after=after)
        self.status = status
        self.answer = answer


class RejectedError(ConnectorError):
    """
    What was sent will never pass, however often.

    ``reason`` is a short fixed word for grouping (``missing_customer_id``); the message explains it.
    ``status`` is the HTTP status that said so, or None when we saw it before sending. ``culprit`` is
    the place in the lane of the one event that is at fault, where that is known: all others may pass.
    ``answer`` is what the service said, for a dead letter's reader only: it may quote what was sent.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        status: int | None = None,
        culprit: int | None = None,
        answer: str = "",
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.culprit = culprit
        self.answer = answer


class ParkedError(ConnectorError):
    """A Facebook page cannot be read until a person does ``action``."""

    def __init__(self, message: str, *, action: str) -> None:
        super().__init__(message)
        self.action = action


class FatalError(ConnectorError):
    """The process must stop. ``advice`` says what the operator can do."""

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class UnauthorizedError(FatalError):
    """The credentials are refused."""


class ConfigError(FatalError):
    """A setting is wrong or missing."""


class ContractError(FatalError):
    """The other side answers in a way that no version we know of does."""
