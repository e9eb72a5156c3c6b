"""Stopping a run politely: the first signal finishes the step, the second leaves at once.

Place in the flow: wrapped around every loop; the loop saves its state and calls
:meth:`Interrupt.check` at the end of each step.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from peftsearch import ranks
from peftsearch.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Seconds; 0 would switch the timer off.
_AT_ONCE = 1e-3


class Interrupt:
    """A context in which SIGINT and SIGTERM set a flag instead of ending the process.

    Python lets only the main thread handle signals; in any other thread this does nothing but
    keep the time.

    Args:
        max_seconds: Ask for an end after this time, as SIGTERM would; ``None``: never.
        grace_seconds: Leave this long after SIGTERM, wherever the program is then: who sent it
            means to kill. ``None``: never.

    Attributes:
        signal_number: Why to stop, once that has been asked; in every process of a run the same.
    """

    def __init__(
        self, max_seconds: float | None = None, grace_seconds: float | None = None
    ) -> None:
        self.signal_number: int | None = None
        self._received = 0
        self._max, self._grace = max_seconds, grace_seconds
        self._began = time.monotonic()
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether to stop. All processes of a run ask it at the same place and are told alike."""
        if self.signal_number is None:
            self.signal_number = ranks.highest(self._received or self._overtime()) or None
        return self.signal_number is not None

    def _overtime(self) -> int:
        """Return SIGTERM when the time is over, else 0."""
        over = self._max is not None and time.monotonic() - self._began >= self._max
        return signal.SIGTERM if over else 0

    def check(self, where: str) -> None:
        """Leave the loop if a signal has arrived; call it after the state has been saved.

        Args:
            where: Where the loop is, e.g. ``search step 1,243``; shown to the user.

        Raises:
            StoppedError: A signal has arrived.
        """
        if self.requested:
            assert self.signal_number is not None
            why = "" if self._received or not self._overtime() else f" after {self._max:g} s"
            raise StoppedError(self.signal_number, f"Stopped at {where}{why}; saved.")

    def __enter__(self) -> Interrupt:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
            if self._grace is not None:
                self._previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._leave)
        return self

    def __exit__(self, *error: object) -> None:
        """Give both signals back."""
        self._restore()

    def _restore(self) -> None:
        if signal.SIGALRM in self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        while self._previous:
            number, handler = self._previous.popitem()
            # None: installed by something other than Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._received and number == signal.SIGINT:
            self._restore()
            # Not sys.exit: an exception could be caught by, or hang in, whatever is running.
            os._exit(128 + signal.SIGINT)
        if not self._received:
            self._received = int(number)
            if number == signal.SIGTERM and self._grace is not None:
                signal.setitimer(signal.ITIMER_REAL, max(self._grace, _AT_ONCE))

    def _leave(self, number: int, frame: FrameType | None) -> None:
        message = f"Stopped {self._grace:g} s after SIGTERM; what was saved last is kept."
        raise StoppedError(signal.SIGTERM, message)


@contextmanager
def leaving(message: str) -> Iterator[None]:
    """A context that SIGINT and SIGTERM leave at once, for a call that cannot be asked to stop.

    Args:
        message: What is to be said then.

    Raises:
        StoppedError: A signal has arrived.
    """
    previous: dict[int, Any] = {}

    def restore() -> None:
        while previous:
            number, handler = previous.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def leave(number: int, frame: FrameType | None) -> None:
        restore()
        raise StoppedError(int(number), message)

    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            previous[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        restore()
