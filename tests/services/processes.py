"""Processes that tests start, read, freeze and kill; none of them outlives the test run."""

import atexit
import os
import re
import signal
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]

# Linux kills a child when the *thread* that started it ends, so everything is started by this one,
# which ends with the interpreter. A pool thread of one test's event loop would take the broker of
# the whole session down with it.
_STARTER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="process-starter")

# Runs in the child before the real program: asks the kernel for SIGKILL at the parent's death,
# leaves if the parent is dead already, then becomes the program under the same process id.
_DIE_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ManagedProcess:
    """
    A running program with its output in files, for as long as the test wants it.

    Started by construction; ``close`` (or the end of a ``with`` block) stops it whatever its state.
    Signals go to this process only, so that a test sees what a real crash of it leaves behind.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        folder: Path,
        env: Mapping[str, str] | None = None,
        name: str = "process",
    ) -> None:
        self.argv = [str(part) for part in argv]
        folder.mkdir(parents=True, exist_ok=True)
        self.stdout_file, self.stderr_file = folder / f"{name}.out", folder / f"{name}.err"
        with self.stdout_file.open("wb") as out, self.stderr_file.open("wb") as err:
            self._process = _STARTER.submit(
                subprocess.Popen,
                _with_parent(self.argv),
                env=_environment(env or {}),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,  # Ctrl-C goes to pytest, which stops us in its own order
            ).result()
        _RUNNING.add(self)

    @classmethod
    def connector(cls, *arguments: str, folder: Path, env: Mapping[str, str] | None = None) -> Self:
        """Start ``connector <arguments>`` with this interpreter; its files are named after the command."""
        name = "-".join(re.findall(r"\w+", " ".join(arguments[:1]))) or "connector"
        return cls([sys.executable, "-m", "connector", *arguments], folder=folder, env=env, name=name)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def text(self) -> str:
        """Return everything printed so far: standard output, then standard error."""
        return self.stdout() + self.stderr()

    def stdout(self) -> str:
        return self.stdout_file.read_text(encoding="utf-8", errors="replace")

    def stderr(self) -> str:
        return self.stderr_file.read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout: float) -> int:
        """
        Return the exit code; minus the signal's number if one ended it.

        Raises:
            AssertionError: it still runs after ``timeout`` seconds.
        """
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._story(f"still runs after {timeout:g} s")) from None

    def wait_for_line(self, pattern: str, timeout: float) -> re.Match[str]:
        """
        Return the first match of ``pattern`` (``^`` and ``$`` are line ends) in the output.

        Raises:
            AssertionError: ``timeout`` seconds have passed, or it exited without such a line.
        """
        expression = re.compile(pattern, re.MULTILINE)

        def printed_or_exited() -> bool:
            return expression.search(self.text()) is not None or not self.running

        try:
            wait_until(printed_or_exited, timeout=timeout, what=repr(pattern))
        except AssertionError as late:
            raise AssertionError(self._story(str(late))) from None
        found = expression.search(self.text())
        if found is None:
            raise AssertionError(self._story(f"exited with {self.wait(0)} and never printed {pattern!r}"))
        return found

    def terminate(self) -> None:
        """Ask it to stop (SIGTERM), and return at once."""
        self._signal(signal.SIGTERM)

    def kill(self) -> int:
        """End it as a crash would (SIGKILL); return its exit code when it is gone."""
        self._signal(signal.SIGKILL)
        return self.wait(timeout=30)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP): alive to the kernel, silent to everybody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on as if nothing had happened."""
        self._signal(signal.SIGCONT)

    def stop(self, timeout: float = 10) -> int:
        """SIGTERM, and SIGKILL if that was not enough within ``timeout`` seconds; return the exit code."""
        self.thaw()
        self.terminate()
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def close(self) -> None:
        """Leave nothing running: this process and what it started itself."""
        if self.running:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait(timeout=30)
        _RUNNING.discard(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)  # polls first: never signals a number that was reused

    def _story(self, what: str) -> str:
        tail = "\n".join(self.text().splitlines()[-20:])
        return f"{' '.join(self.argv)[:200]} {what}; it printed:\n{tail}"


_RUNNING: "weakref.WeakSet[ManagedProcess]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for process in list(_RUNNING):
        process.close()


def _with_parent(argv: list[str]) -> list[str]:
    if sys.platform != "linux":
        return argv
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *argv]


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return ours without what would configure the connector unseen, plus what the test gives."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("CONNECTOR_", "OTEL_"))}
    return ours | {"PYTHONUNBUFFERED": "1"} | dict(env)
