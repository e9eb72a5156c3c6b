"""Exit codes, and several problems joined into one error."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch import errors
from peftsearch.errors import ConfigError, PeftSearchError, StoppedError, paste


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


def test_problems_of_several_places_are_counted_and_shown_one_by_one() -> None:
    first = ConfigError.collected([ConfigError("a."), ConfigError("b.", "try c")])
    both = ConfigError.collected([first, ConfigError("d.")])
    assert both.message == "3 problems\n  a.\n  b.  try c\n  d."
    assert [problem.message for problem in both.problems] == ["a.", "b.", "d."]
    assert ConfigError("alone").problems[0].message == "alone"


def test_commands_can_be_pasted() -> None:
    assert paste("peftsearch", "report", Path("a b")) == "peftsearch report 'a b'"
