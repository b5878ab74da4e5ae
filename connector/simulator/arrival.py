"""What a simulator needs of a request, and one that came without a socket."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class Arrival(Protocol):
    """A request as it came: path and query untouched."""

    @property
    def method(self) -> str: ...

    @property
    def raw_path(self) -> str: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]: ...

    @property
    def remote(self) -> str | None: ...

    @property
    def content_length(self) -> int | None: ...

    @property
    def gone(self) -> bool:
        """Whether the client has hung up while its call was still in progress."""
        ...

    def split(self) -> tuple[str, str]: ...

    async def read(self) -> bytes: ...


@dataclass(slots=True, eq=False)
class Handed:
    """A request handed over in the same process; ``gone`` is the client's to set."""

    method: str
    raw_path: str
    headers: Mapping[str, str]
    body: bytes = b""
    remote: str | None = "127.0.0.1"
    gone: bool = False

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode()) for name, value in self.headers.items()]

    @property
    def content_length(self) -> int:
        return len(self.body)

    def split(self) -> tuple[str, str]:
        path, _, query = self.raw_path.partition("?")
        return path, query

    async def read(self) -> bytes:
        return self.body
