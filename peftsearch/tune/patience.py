"""Waiting for a storage that has gone away for a while, a restarted server for example."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import optuna
import sqlalchemy

from peftsearch.errors import MissingError

Result = TypeVar("Result")
_FIRST, _LAST = 0.2, 5.0


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the storage cannot be reached, and not that it was misused."""
    kinds = (sqlalchemy.exc.OperationalError, sqlalchemy.exc.InterfaceError)
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kinds) or getattr(seen, "connection_invalidated", False):
            return True
        seen = seen.__cause__ if isinstance(seen, optuna.exceptions.OptunaError) else None
    return False


@dataclass
class Patience:
    """Calls again what failed because the storage was away.

    Attributes:
        seconds: How long, at most, from the first failure.
        stop: Asked between two calls; leaves by an exception.
        tell: Given a sentence at the first failure.
        outages: How often the storage was away.
    """

    seconds: float
    stop: Callable[[], None]
    tell: Callable[[str], None]
    outages: int = 0

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Return what ``call`` returns.

        Raises:
            MissingError: The storage stayed away.
        """
        began, pause = time.monotonic(), 0.0
        while True:
            try:
                return call()
            except Exception as error:
                if not is_outage(error):
                    raise
                if not pause:
                    self.outages += 1
                    self.tell(f"The storage does not answer; trying for {self.seconds:g} s.")
            if time.monotonic() - began > self.seconds:
                raise MissingError(
                    f"The storage has not answered for {self.seconds:g} s.",
                    "Type the same command again once it does: nothing is lost.",
                )
            self.stop()
            pause = min(_LAST, 2 * pause or _FIRST)
            time.sleep(pause)
