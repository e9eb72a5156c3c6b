"""The project's files as the rules see them."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "peftsearch"


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Return every module of the package by dotted name."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def tree(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def project_files() -> tuple[Path, ...]:
    """Return the files that are, or are about to be, part of the repository."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (
        OSError,
        subprocess.CalledProcessError,
    ):  # an unpacked archive: no git, no ignored files
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
        hidden = (".venv", "build/", "dist/", "runs/", ".mypy", ".ruff", ".pytest", ".hypothesis")
        names = [
            name for name in names if not name.startswith(hidden) and "__pycache__" not in name
        ]
    else:
        names = listed.stdout.splitlines()
    return tuple(ROOT / name for name in sorted(names) if (ROOT / name).is_file())


def text_files() -> list[tuple[Path, str]]:
    """Return the project's text files with their content."""
    found = []
    for path in project_files():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def python_files() -> list[Path]:
    """Return all Python files of the project: package, scripts and tests."""
    return [path for path in project_files() if path.suffix == ".py"]
