"""What ``tune`` prints for humans."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peftsearch.errors import paste

_LABEL = 11


def tune_lines(found: Mapping[str, Any], out: Path, page: Path) -> list[str]:
    """Return the result of a study.

    Args:
        found: The content of ``tune.json``.
        out: Its folder.
        page: Its report.
    """
    states = {name: count for name, count in found["states"].items() if count}
    counted = ", ".join(f"{count} {name}" for name, count in states.items())
    lines = [_line("trials", f"{found['trials']}: {counted}")]
    best = found["best"]
    if best is not None:
        text = f"{best['score']:.4f} on the selection split, {best['num_params']:,} parameters"
        lines.append(_line("best", f"trial {best['trial']}: {text}"))
        lines += [_line("", f"{key} = {_shown(value)}") for key, value in best["params"].items()]
    if found["front"]:
        front = ", ".join(
            f"{r['num_params']:,} ({r['score']:.4f}, trial {r['trial']})" for r in found["front"]
        )
        lines.append(_line("front", front))
    lines += [
        _line("failed", f"trial {each['trial']}: {each['reason']}") for each in found["failures"]
    ]
    lines.append(_line("baselines", found["fairness"]))
    for name, study in found["baselines"].items():
        own = study["best"]
        lines.append(_line("", f"{name}: {own['score']:.4f}" if own else f"{name}: nothing"))
    lines.append(_line("report", str(page)))
    if best is not None:
        lines += ["Next:", f"  {paste('peftsearch', 'run', '--config', out / 'best.yaml')}"]
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}}{text}".rstrip()


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
