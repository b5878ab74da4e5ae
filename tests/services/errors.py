"""What keeps a service from running, in one sentence that says what to do about it."""


class ServiceError(RuntimeError):
    """A test service cannot be had; the message names what to install or to change."""
