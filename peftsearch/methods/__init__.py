"""PEFT methods, one file each; a new file with a ``METHOD`` literal and ``build`` is a method."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from peftsearch.catalogue import method_facts
from peftsearch.methods.base import Build


def builder(name: str) -> Build:
    """Return the ``build`` function of a registered method."""
    return cast(Build, import_module(method_facts()[name].source).build)
