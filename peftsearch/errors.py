"""The errors a user can meet, each with what was seen, what to type next and an exit code.

Place in the flow: below everything; reads and writes nothing.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def paste(*words: object) -> str:
    """Return a command that can be pasted into a shell, whatever its paths are called."""
    return shlex.join(map(str, words))


class PeftSearchError(Exception):
    """An error with one clear sentence for the user.

    Args:
        message: What is wrong, with the value seen.
        hint: The next command to type or the allowed values; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigError(PeftSearchError):
    """Wrong usage or configuration (exit 2).

    Several problems found together are joined by :meth:`collected`.

    Attributes:
        problems: What was joined; itself where it is a single one.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "", problems: Sequence[ConfigError] = ()) -> None:
        super().__init__(message, hint)
        self.problems: tuple[ConfigError, ...] = tuple(problems) or (self,)

    @classmethod
    def collected(cls, problems: Sequence[ConfigError]) -> ConfigError:
        """Join problems into one error, so that the user mends all of them at once."""
        single = [one for problem in problems for one in problem.problems]
        if len(single) == 1:
            return single[0]
        lines = [f"  {p.message}" + (f"  {p.hint}" if p.hint else "") for p in single]
        return cls(f"{len(single)} problems\n" + "\n".join(lines), problems=single)


class MissingError(PeftSearchError):
    """Something needed is not there: an extra, a model, data, the network (exit 3)."""

    exit_code = 3


class BudgetError(PeftSearchError):
    """No architecture of the space fits the budget (exit 4)."""

    exit_code = 4


class DivergedError(PeftSearchError):
    """Training produced a loss that is not finite (exit 5)."""

    exit_code = 5


class ExportError(PeftSearchError):
    """A target cannot express the architecture, or does not reproduce it (exit 6)."""

    exit_code = 6


class StoppedError(PeftSearchError):
    """The user or the scheduler stopped the run; it can be resumed.

    Args:
        signal_number: 2 (SIGINT, exit 130) or 15 (SIGTERM, exit 143).
        message: Where it stopped.
    """

    def __init__(self, signal_number: int, message: str) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


class LostError(PeftSearchError):
    """Another process of a run on several devices has ended; the run can be resumed (exit 1)."""
