"""Exit codes, and several problems joined into one error."""

from __future__ import annotations

import pytest

from peftsearch import errors
from peftsearch.errors import ConfigError, PeftSearchError, StoppedError


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("PeftSearchError", 1),
        ("ConfigError", 2),
        ("MissingError", 3),
        ("BudgetError", 4),
        ("DivergedError", 5),
        ("ExportError", 6),
    ],
)
def test_exit_codes(kind: str, code: int) -> None:
    error = getattr(errors, kind)("What was seen.", "what to type")
    assert isinstance(error, PeftSearchError)
    assert (error.exit_code, str(error), error.hint) == (code, "What was seen.", "what to type")


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_stopped(number: int, code: int) -> None:
    assert StoppedError(number, "Stopped at step 3.").exit_code == code


def test_one_problem_stays_as_it_is() -> None:
    problem = ConfigError("Wrong.", "Mend it.")
    assert ConfigError.collected([problem]) is problem


def test_problems_are_joined() -> None:
    joined = ConfigError.collected([ConfigError("First.", "Mend it."), ConfigError("Second.")])
    assert joined.message == "2 problems\n  First.  Mend it.\n  Second."
    assert joined.hint == ""
