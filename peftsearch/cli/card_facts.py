"""What a model card says, gathered from a run's files or from an architecture alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peftsearch import environment, tasks
from peftsearch.architecture import Architecture
from peftsearch.card import CardFacts
from peftsearch.errors import ConfigError
from peftsearch.micro import MODEL_DIRS
from peftsearch.rundir import RunDir, read_json
from peftsearch.tasks.base import Hub

#: Packages whose versions a card names.
_PACKAGES = ("peftsearch", "torch", "transformers", "peft")


def card_facts(repository: str, source: Path, folder: Path) -> CardFacts:
    """Gather what is known of an export.

    Args:
        repository: Where it goes on the Hub.
        source: A run directory, or an ``architecture.json``.
        folder: The export.
    """
    is_run = source.is_dir()
    architecture = Architecture.load(source / "architecture.json" if is_run else source)
    manifest = read_json(source / "manifest.json") if is_run else {}
    versions = manifest.get("versions") or environment.versions()
    return CardFacts(
        repository=repository,
        architecture=architecture.to_json(),
        check=read_json(folder / "check.json"),
        summary=_summary(source) if is_run else {},
        base_model=_base_model(architecture.model),
        dataset=_dataset(architecture.task, source) if is_run else "",
        command=manifest.get("command", ()),
        versions={name: versions[name] for name in _PACKAGES if name in versions},
    )


def _summary(run: Path) -> dict[str, Any]:
    path = run / "summary.json"
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found


def _base_model(model: str) -> str:
    """Return the backbone's id on the Hub; empty for one that is built in or in a folder."""
    return "" if model in MODEL_DIRS or Path(model).expanduser().is_dir() else model


def _dataset(name: str, run: Path) -> str:
    """Return the id of a task's rows on the Hub; empty where a run took other rows."""
    if RunDir.open_existing(run, lock=False).config().data is not None:
        return ""
    try:
        source = tasks.get(name).source
    except ConfigError:  # its file, or the plug-in that brought it, is not here
        return ""
    return source.path if isinstance(source, Hub) else ""
