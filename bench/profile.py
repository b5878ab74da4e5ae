"""Where a process spends its time: CPU of each thread, and the main thread's stack, sampled. Stdlib only."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

EVERY = 0.004


class Sampler:
    """
    Looks at the main thread 250 times a second while it is open.

    By signal, not from another thread: such a thread gets the GIL only where the main thread lets go
    of it, and would find it there every time.
    """

    def __init__(self) -> None:
        self.own: Counter[str] = Counter()
        self.total: Counter[str] = Counter()
        self.samples = 0
        self._threads: dict[str, float] = {}

    def start(self) -> None:
        self._threads = thread_seconds()
        signal.signal(signal.SIGALRM, self._look)
        signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        self._threads = {
            name: seconds - self._threads.get(name, 0.0) for name, seconds in thread_seconds().items()
        }

    def story(self, most: int) -> dict[str, dict[str, float]]:
        """CPU seconds by thread; share of the main thread's time by place, own and with what it calls."""
        samples = max(1, self.samples)
        return {
            "threads": dict(Counter(self._threads).most_common(most)),
            "own": {place: count / samples for place, count in self.own.most_common(most)},
            "total": {place: count / samples for place, count in self.total.most_common(2 * most)},
        }

    def _look(self, _number: int, leaf: FrameType | None) -> None:
        self.samples += 1
        if leaf is None or (leaf.f_code.co_name == "select" and place(leaf) == "selectors"):
            self.own["(waiting)"] += 1
            return
        self.own[place(leaf)] += 1
        seen: set[str] = set()
        frame: FrameType | None = leaf
        while frame is not None:
            if "/connector/" in frame.f_code.co_filename:
                seen.add(f"{place(frame)}.{frame.f_code.co_name}")
            frame = frame.f_back
        self.total.update(seen)


def thread_seconds() -> dict[str, float]:
    """CPU so far of every thread of this process; librdkafka's name themselves, ours are known to Python."""
    names = {thread.native_id: thread.name for thread in threading.enumerate()}
    found: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        head, _, tail = (task / "stat").read_text(encoding="ascii").rpartition(")")
        ticks = sum(int(field) for field in tail.split()[11:13])
        found[names.get(int(task.name)) or head.partition("(")[2]] += ticks / os.sysconf("SC_CLK_TCK")  # type: ignore[assignment]
    return dict(found)


def place(frame: FrameType) -> str:
    """``connector.engine.worker`` for ours, the top package for a library, the module for the rest."""
    path = frame.f_code.co_filename
    if "/site-packages/" in path:
        return path.split("/site-packages/")[1].split("/")[0]
    if "/connector/" in path:
        return "connector." + path.rpartition("/connector/")[2].removesuffix(".py").replace("/", ".")
    if "/asyncio/" in path:
        return "asyncio"
    return Path(path).stem
