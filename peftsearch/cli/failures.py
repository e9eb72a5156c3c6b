"""Errors of the libraries below, as sentences for the user.

Matched by the name of the class: importing the libraries to name their classes would cost
every command seconds.
"""

from __future__ import annotations

import errno

from peftsearch.errors import ConfigError, MissingError, PeftSearchError

_OFFLINE = "Check the connection, or give a folder: --model DIR --data DIR."
_GATED = "Accept its terms on its page on the Hub, then log in with: hf auth login"
_NAME = "Check the spelling, or give a folder that holds it."
_MEMORY = (
    "A single row does not fit. In this order, try: --gradient-checkpointing (same result, less "
    "memory), then --precision bf16, then --load-in 4bit, then a smaller --model."
)

#: Class name -> (sentence, hint); the library's own message is put behind the sentence.
_MISSING = {
    "GatedRepoError": ("the Hub wants you to accept terms first", _GATED),
    "RepositoryNotFoundError": ("the Hub has no such model or data set", _NAME),
    "RevisionNotFoundError": ("the Hub has no such revision", _NAME),
    "EntryNotFoundError": ("the Hub has no such file", _NAME),
    "DatasetNotFoundError": ("the data set was not found", _NAME),
    "LocalEntryNotFoundError": ("it is not in the cache and the Hub cannot be reached", _OFFLINE),
    "OfflineModeIsEnabled": ("it is not in the cache and offline mode is on", _OFFLINE),
    "HfHubHTTPError": ("the Hub answered with an error", _OFFLINE),
    "ConnectionError": ("no connection", _OFFLINE),
    "ConnectError": ("no connection", _OFFLINE),
    "ConnectTimeout": ("the connection timed out", _OFFLINE),
    "ReadTimeout": ("the connection timed out", _OFFLINE),
    "OutOfMemoryError": ("the memory of the device is full", _MEMORY),
    "MemoryError": ("the memory is full", _MEMORY),
}
#: Packages whose absence is the installation's fault and not a bug.
_PACKAGES = (
    "torch",
    "transformers",
    "datasets",
    "peft",
    "optuna",
    "accelerate",
    "matplotlib",
    "pandas",
    "pyarrow",
    "sentencepiece",
)


def explain(error: Exception) -> PeftSearchError | None:
    """Return a known failure as a sentence, or ``None`` for a bug."""
    for kind in type(error).__mro__:
        if kind.__name__ in _MISSING:
            sentence, hint = _MISSING[kind.__name__]
            return MissingError(f"{sentence}: {_first_line(error)}", hint)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _not_installed(error.name.partition(".")[0])
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        where = error.filename or "the disk"
        return MissingError(f"no space is left on {where}.", "Free some, or use --out DIR.")
    if isinstance(error, PermissionError):
        return ConfigError(f"{error.filename} may not be read or written.", "Use --out DIR.")
    return None


def _not_installed(name: str) -> PeftSearchError | None:
    if name not in _PACKAGES:
        return None
    return MissingError(f"{name} is not installed.", f"pip install {name}")


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
