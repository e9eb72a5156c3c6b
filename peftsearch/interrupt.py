"""Stopping a run politely: the first signal finishes the step, the second leaves at once.

Place in the flow: wrapped around every loop; the loop saves its state and calls
:meth:`Interrupt.check` at the end of each step.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from peftsearch.errors import StoppedError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """A context in which SIGINT and SIGTERM set a flag instead of ending the process.

    Python lets only the main thread handle signals; in any other thread this does nothing.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._previous: dict[int, Any] = {}

    @property
    def requested(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal_number is not None

    def check(self, where: str) -> None:
        """Leave the loop if a signal has arrived; call it after the state has been saved.

        Args:
            where: Where the loop is, e.g. ``search step 1,243``; shown to the user.

        Raises:
            StoppedError: A signal has arrived.
        """
        if self.signal_number is not None:
            raise StoppedError(self.signal_number, f"Stopped at {where}; saved.")

    def __enter__(self) -> Interrupt:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        """Give both signals back."""
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # None: installed by something other than Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal_number is not None and number == signal.SIGINT:
            self._restore()
            # Not sys.exit: an exception could be caught by, or hang in, whatever is running.
            os._exit(128 + signal.SIGINT)
        if self.signal_number is None:
            self.signal_number = int(number)


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
