"""Problems, then write, then verify, then move: an export is there whole and verified, or not.

Place in the flow: architecture and weights -> export. One function for the command, the stage of
a run and the tests.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import exporters
from peftsearch.errors import ConfigError, ExportError, paste
from peftsearch.export.base import (
    TOLERANCE,
    Bundle,
    Evidence,
    Problem,
    exporter,
    largest_difference,
)
from peftsearch.rundir import write_json
from peftsearch.site import split_id

CHECK = "check.json"


def problems(target: str, architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return every choice that a target cannot hold: by its table, then by its own look.

    Raises:
        ConfigError: There is no such target.
    """
    module, card = exporter(target), exporters()[target]
    found = []
    for choice in architecture.active:
        reason = card.reason(choice.method, split_id(choice.site)[2], backbone.family)
        if reason:
            found.append(Problem(choice.site, choice.method, reason))
    known = {(problem.site, problem.method) for problem in found}
    more = module.problems(architecture, backbone)
    return found + [each for each in more if (each.site, each.method) not in known]


def export(
    bundle: Bundle, target: str, folder: Path, load_from: Path | None = None
) -> dict[str, Any]:
    """Write an export, verify it, and only then put it in its place.

    Args:
        bundle: What to write.
        target: Name of the exporter.
        folder: Where to; an export that is there already is replaced.
        load_from: Folder that the lines in ``check.json`` load, where that is not ``folder``.

    Returns:
        The content of ``check.json``.

    Raises:
        ExportError: The target cannot hold a choice (all are listed), or what was written does
            not give the same logits and counts when it is loaded; nothing is left then.
        ConfigError: The folder holds something that is not an export.
        MissingError: The target is not installed.
    """
    found = problems(target, bundle.architecture, bundle.backbone)
    if found:
        raise refusal(target, found)
    check_place(folder)
    module = exporter(target)
    with _beside(folder) as temporary:
        module.write(bundle, temporary)
        check = verdict(bundle, target, module.verify(bundle, temporary))
        if not check["verified"]:
            raise ExportError(f"The {target} export does not reproduce the model: {_wrong(check)}.")
        check["load"] = module.snippet(bundle, load_from or folder)
        write_json(temporary / CHECK, check)
        _move(temporary, folder)
    return check


def refusal(target: str, found: list[Problem]) -> ExportError:
    """Return the one error that lists everything a target cannot hold."""
    lines = "\n".join(f"  {p.site}: {p.method}: {p.reason}" for p in found)
    return ExportError(
        f"{target} cannot express this architecture:\n{lines}",
        "Use native, which holds everything, or search again for what it can hold: "
        + paste("peftsearch", "run", "--exportable-to", target),
    )


def verdict(bundle: Bundle, target: str, evidence: Evidence) -> dict[str, Any]:
    """Compare what was seen with what was trained; the content of ``check.json``."""
    wanted = bundle.check_logits if evidence.wanted is None else evidence.wanted
    tolerance = TOLERANCE * max(1.0, float(wanted.abs().max()))
    differences = {way: largest_difference(x, wanted) for way, x in evidence.logits.items()}
    counted = all(e.trained == e.num_params or e.why for e in evidence.entries)
    largest = max(differences.values())
    return {
        "format": 1,
        "target": target,
        "trained": bundle.trained and evidence.wanted is None,
        "verified": counted and largest <= tolerance,
        "max_logit_difference": largest,
        "tolerance": tolerance,
        "num_params": bundle.architecture.num_params,
        "differences": differences,
        "entries": [entry.to_json() for entry in evidence.entries],
        "notes": {**evidence.notes, **_rounded(bundle)},
    }


def _rounded(bundle: Bundle) -> dict[str, str]:
    """Say that the backbone's weights were rounded in training, if they were."""
    if not bundle.rounded:
        return {}
    text = (
        f"trained on the backbone {bundle.rounded}, written and verified on it as it is stored, "
        "in float32; answers differ by the rounding"
    )
    return {"base": text}


def _wrong(check: dict[str, Any]) -> str:
    """Say what differs."""
    largest, allowed = check["max_logit_difference"], check["tolerance"]
    if largest > allowed:
        return f"its logits differ by {largest:.2e} (allowed {allowed:.0e})"
    wrong = [e for e in check["entries"] if e["trained"] != e["num_params"] and "why" not in e]
    return ", ".join(
        f"{e['name']} trains {e['trained']:,} parameters instead of {e['num_params']:,}"
        for e in wrong
    )


def check_place(folder: Path) -> None:
    """Refuse a folder whose content is not an earlier export.

    Raises:
        ConfigError: It is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file, not a folder.", "Choose another with --out DIR.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CHECK).is_file():
        raise ConfigError(
            f"{folder} is not empty, and what is there is not an export.",
            "Choose another with --out DIR, or empty it.",
        )


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give an empty folder on the same file system, which is gone at the end."""
    place = folder.absolute()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=place.parent) as name:
        inner = Path(name) / place.name
        inner.mkdir()
        yield inner


def _move(source: Path, folder: Path) -> None:
    """Put a folder in the place of another, which is lost only once the new one is there."""
    old, folder = source.parent / "old", folder.absolute()
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(source, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
