"""Importing a package that only some metrics need."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

from peftsearch.errors import MissingError, paste


def needed(module: str, package: str) -> Any:
    """Import a module of a package that is an extra.

    Raises:
        MissingError: It is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package's own code, while it is imported
            return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingError(
            f"the package {package} is not installed, which this metric needs.",
            paste("pip", "install", package),
        ) from error
