"""peftsearch: find which PEFT method each layer of a transformer should get, and how large.

The public names are loaded when they are first used; importing the package does not import
torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from peftsearch.api import run
    from peftsearch.architecture import Architecture
    from peftsearch.export.native import load, save
    from peftsearch.importing.reading import import_architecture, import_model
    from peftsearch.injection import apply, unapply
    from peftsearch.tasks.base import Task

__version__ = "0.1.0"
__all__ = [
    "Architecture",
    "Task",
    "__version__",
    "apply",
    "import_architecture",
    "import_model",
    "load",
    "run",
    "save",
    "unapply",
]

_HOMES = {
    "run": "peftsearch.api",
    "Architecture": "peftsearch.architecture",
    "Task": "peftsearch.tasks.base",
    "apply": "peftsearch.injection",
    "unapply": "peftsearch.injection",
    "save": "peftsearch.export.native",
    "load": "peftsearch.export.native",
    "import_architecture": "peftsearch.importing.reading",
    "import_model": "peftsearch.importing.reading",
}


def __getattr__(name: str) -> Any:
    """Load a public name from its home."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
