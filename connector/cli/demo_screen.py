"""Where the demo is shown: a live screen on a terminal, plain lines in a pipe."""

import io
import json
import sys
from collections import deque
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from connector.cli.demo_view import Snapshot, line, picture
from connector.telemetry import set_up_logs

TAIL_LINES = 2
LINE_EVERY = 2.0  # seconds of the demo between two plain lines


class LogTail(io.StringIO):
    """A stream that keeps the latest warnings, one JSON object each, for a screen that shows them."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[str] = deque(maxlen=TAIL_LINES)

    def write(self, text: str) -> int:
        self._lines.extend(_sentence(told) for told in text.splitlines() if told.strip())
        return len(text)

    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)


def _sentence(told: str) -> str:
    try:
        fields = json.loads(told)
        event, level = fields.pop("event"), fields.pop("level")
    except (ValueError, KeyError, AttributeError, TypeError):
        return told.strip()
    fields.pop("timestamp", None)
    return " ".join([f"{level}: {event}", *(f"{name}={value}" for name, value in fields.items())])


class Screen(Protocol):
    """From ``with`` to its end, shows what it is given; logs are kept from tearing it."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, sentence: str) -> None:
        """A last word: at once in a pipe, below the last picture on a terminal."""
        ...

    def show(self, moment: Snapshot) -> None: ...

    def warnings(self) -> tuple[str, ...]:
        """The latest warnings, if it is on this screen that they are to be seen."""
        ...


class LiveScreen:
    """The whole terminal while the demo runs; its last picture stays behind."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._tail = LogTail()
        self._last: Snapshot | None = None
        self._said: list[str] = []

    def __enter__(self) -> Self:
        set_up_logs(form="json", level="warning", stream=self._tail)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()
        set_up_logs(form="console", level="warning")
        if self._last is not None:
            self._console.print(picture(self._last))
        for sentence in self._said:
            self._console.print(sentence, markup=False, highlight=False)

    def say(self, sentence: str) -> None:
        self._said.append(sentence)

    def show(self, moment: Snapshot) -> None:
        self._last = moment
        self._live.update(picture(moment), refresh=True)

    def warnings(self) -> tuple[str, ...]:
        return self._tail.lines()


class PlainScreen:
    """A line every other second on stdout; warnings go to stderr."""

    def __init__(self) -> None:
        self._next = 0.0

    def __enter__(self) -> Self:
        set_up_logs(form="console", level="warning")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def say(self, sentence: str) -> None:
        print(sentence, flush=True)

    def show(self, moment: Snapshot) -> None:
        if not self._next:
            print(moment.servers)
        if moment.elapsed >= self._next or moment.phase == "ended":
            self._next = moment.elapsed + LINE_EVERY
            print(line(moment), flush=True)

    def warnings(self) -> tuple[str, ...]:
        return ()


def screen() -> Screen:
    """The one that fits where stdout goes."""
    # Not rich's own guess: FORCE_COLOR makes it take a pipe for a terminal.
    console = Console()
    return LiveScreen(console) if sys.stdout.isatty() and not console.is_dumb_terminal else PlainScreen()
