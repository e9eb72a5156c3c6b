"""What the project's own scripts and tests put into the environment does not stop the program."""

from __future__ import annotations

import re

from peftsearch import config
from peftsearch.config.layers import OTHER_VARIABLES
from tests.rules.sources import ROOT


def test_exported_variables_are_known() -> None:
    """An unknown variable with the prefix is an error, so each must be a key or on the list."""
    text = "\n".join((ROOT / name).read_text() for name in (".ci/run", "Makefile"))
    named = set(re.findall(r"\bexport (PEFTSEARCH_[A-Z_]+)", text))
    kept = re.findall(r'"(PEFTSEARCH_[A-Z_]+)"', (ROOT / "tests" / "conftest.py").read_text())
    assert named
    assert (named | set(kept)) <= set(OTHER_VARIABLES)
    config.resolve(environ=dict.fromkeys(OTHER_VARIABLES, "1"))
