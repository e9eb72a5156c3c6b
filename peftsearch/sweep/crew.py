"""Work on every run of a sweep until none is left: so many at once, as many machines as there are.

Place in the flow: points and folder -> child -> **crew** -> outcome.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from peftsearch.errors import StoppedError
from peftsearch.interrupt import Interrupt
from peftsearch.room import rooms
from peftsearch.sweep.child import PROGRAM, Child, start
from peftsearch.sweep.folder import (
    DONE,
    FAILED,
    PENDING,
    STOPPED,
    UNFINISHED,
    Record,
    SweepFolder,
)
from peftsearch.sweep.spec import Point

#: Seconds after which a run that another process works on is looked at again.
LOOK_AGAIN = 2.0
#: Seconds between two looks at the processes: soon after something happened, later and later.
_SOONEST, _LATEST = 0.005, 0.5


@dataclass
class Crew:
    """The processes of one sweep on this machine.

    Attributes:
        folder: Of the sweep.
        points: Its runs, in the order in which they are taken.
        jobs: How many processes at once.
        environ: Environment variables of the runs.
        tell: Called with what happens, one line each.
        program: What is called with ``run`` and its options.
        look_again: Seconds after which a run of another process is looked at again.
    """

    folder: SweepFolder
    points: Sequence[Point]
    jobs: int
    environ: Mapping[str, str]
    tell: Callable[[str], None] = lambda text: None
    program: Sequence[str] = PROGRAM
    look_again: float = LOOK_AGAIN
    _waiting: deque[Point] = field(default_factory=deque)
    _elsewhere: list[Point] = field(default_factory=list)
    _working: list[Child] = field(default_factory=list)
    _rooms: list[dict[str, str]] = field(default_factory=list)
    _looked: float = 0.0
    _settled: int = 0

    def work(self) -> None:
        """Bring every run to its end, here or in other processes; a failed one stops no other.

        Raises:
            StoppedError: A signal arrived. All processes have saved and ended.
        """
        self._waiting.extend(self.points)
        self._rooms = rooms(self.jobs, self.environ)
        pause = _SOONEST
        with Interrupt() as interrupt:
            while self._waiting or self._elsewhere or self._working:
                if interrupt.requested and interrupt.signal_number is not None:
                    self._stop(interrupt.signal_number)
                busy = self._fill()
                busy = self._reap() or busy
                pause = _SOONEST if busy else min(2 * pause, _LATEST)
                if self._waiting or self._elsewhere or self._working:
                    time.sleep(pause)
            interrupt.check("the end of the runs")

    def _fill(self) -> bool:
        """Start runs while there is room, and say whether one was."""
        if not self._waiting and self._elsewhere and self._is_time():
            self._waiting.extend(self._elsewhere)
            self._elsewhere.clear()
        started = False
        while self._waiting and len(self._working) < self.jobs:
            started = self._take(self._waiting.popleft()) or started
        return started

    def _is_time(self) -> bool:
        moment = time.monotonic()
        if moment - self._looked < self.look_again:
            return False
        self._looked = moment
        return True

    def _take(self, point: Point) -> bool:
        """Start a run, unless it is settled or another process has it."""
        if self._is_settled(point):
            return False
        claim = self.folder.claim(point)
        if claim is None:
            self._looked = self._looked or time.monotonic()
            self._elsewhere.append(point)
            return False
        # Another process may have brought it to its end between the look and the claim.
        if self._is_settled(point):
            claim.release()
            return False
        goes_on = self.folder.status(point) == UNFINISHED
        room = self._rooms.pop(0)
        self._working.append(start(self.folder, point, claim, room, self.program))
        self.tell(f"{'Goes on' if goes_on else 'Begins'}: {point.name}")
        return True

    def _is_settled(self, point: Point) -> bool:
        status = self.folder.status(point)
        if status in (DONE, FAILED):
            self._settled += 1
            return True
        return False

    def _reap(self) -> bool:
        """Close the processes that have ended, and say whether one had."""
        ended = [child for child in self._working if child.ended()]
        for child in ended:
            self._working.remove(child)
            self._rooms.append(child.room)
            record = child.close()
            if record is None:
                self._elsewhere.append(child.point)
                continue
            self._settled += 1
            self._report(child.point, record)
        return bool(ended)

    def _report(self, point: Point, record: Record) -> None:
        head = f"{self._settled}/{len(self.points)}"
        if record.exit_code in STOPPED:
            self.tell(f"{head} stopped from outside: {point.name}")
        elif record.failed:
            why = f"exit {record.exit_code}: {record.reason}"
            self.tell(f"{head} failed: {point.name} ({why})")
        else:
            self.tell(f"{head} done: {point.name}, {record.seconds:.0f} s")

    def _stop(self, signal_number: int) -> None:
        """Ask every process to save and end, and wait until it has."""
        for child in self._working:
            child.stop(signal_number)
        for child in self._working:
            child.process.wait()
            child.close()
        count = len(self._working)
        self._working.clear()
        left = sum(self.folder.status(point) in (PENDING, UNFINISHED) for point in self.points)
        runs = f"{count} run{'' if count == 1 else 's'} at work saved"
        raise StoppedError(signal_number, f"Stopped with {left:,} runs to go; {runs}.")
