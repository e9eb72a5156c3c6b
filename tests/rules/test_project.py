"""What the documents, the Makefile and the packaging say agrees with what is there."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import peftsearch
from tests.rules.sources import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "reports/README.md")
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def commands(text: str, program: str) -> list[list[str]]:
    """Return the words after a program's name, for each command in code spans and blocks."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, flags=re.DOTALL)
    spans = re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + spans
    found = [line.strip().removeprefix("$ ") for line in lines]
    split = [shlex.split(line, comments=True) for line in found if line.startswith(program + " ")]
    return [words[1:] for words in split]


def documented(program: str) -> list[tuple[str, list[str]]]:
    """Return every command of every document."""
    found = []
    for name in DOCUMENTS:
        text = (ROOT / name).read_text(encoding="utf-8")
        found += [(name, words) for words in commands(text, program)]
    return found


def options(command: Any) -> set[str]:
    """Return the options of a command of the command line."""
    return {name for parameter in command.params for name in parameter.opts}


def test_documented_commands_exist() -> None:
    from typer.main import get_command

    from peftsearch.cli import app

    known: Any = get_command(app)
    assert documented("peftsearch"), "the documents name no command"
    for name, words in documented("peftsearch"):
        if words[0].startswith("-"):
            continue
        assert words[0] in known.commands, f"{name}: peftsearch {words[0]}"
        command = known.commands[words[0]]
        if len(words) > 1 and words[1] in getattr(command, "commands", {}):
            command = command.commands[words[1]]
        given = {word.split("=")[0] for word in words if word.startswith("--")}
        assert given <= options(command) | {"--help"}, f"{name}: {words}"


def test_documented_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    wanted = {"install", "adapters-env", "demo", "test", "test-slow", "lint", "build", "clean"}
    assert wanted <= targets
    used = {word for _, words in documented("make") for word in words if "=" not in word}
    assert {"demo", "test"} <= used <= targets


def test_make_is_used_by_the_ci() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    for target in ("install", "adapters-env", "lint", "test"):
        assert f"make --no-print-directory {target} " in script


def listed(key: str) -> list[Requirement]:
    """Return the requirements of a list in ``pyproject.toml``."""
    block = PYPROJECT.split(f"\n{key} = [\n", 1)[1].split("\n]", 1)[0]
    entries = re.findall(r'^\s*"([^"]+)"', block, flags=re.MULTILINE)
    return [Requirement(entry) for entry in entries]


def pins() -> dict[str, Version]:
    """Return the versions of ``constraints.txt``."""
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    found = [Requirement(line) for line in text.splitlines() if line and line[0] != "#"]
    return {pin.name.lower(): Version(str(pin.specifier).removeprefix("==")) for pin in found}


@pytest.mark.parametrize("wanted", [*listed("dependencies"), *listed("dev")], ids=str)
def test_dependencies_are_bounded_and_pinned_within(wanted: Requirement) -> None:
    assert {bound.operator for bound in wanted.specifier} == {">=", "<"}
    assert wanted.specifier.contains(pins()[wanted.name.lower()])


def test_torch_is_pinned_alike_everywhere() -> None:
    pin = f"torch=={pins()['torch']}"
    assert pin == "torch==2.13.0"
    for name in ("Makefile", ".ci/run", "constraints.txt", "constraints-adapters.txt"):
        assert pin in (ROOT / name).read_text(encoding="utf-8")


def test_the_lowest_versions_are_all_found() -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("lowest", ROOT / ".ci" / "lowest.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    found = [Requirement(line) for line in module.lowest(PYPROJECT)]
    assert [r.name for r in found] == [r.name for r in listed("dependencies")]
    assert "transformers==5.18.0" in map(str, found)


def test_version_agrees() -> None:
    assert f'\nversion = "{peftsearch.__version__}"\n' in PYPROJECT
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{peftsearch.__version__}]" in changelog or "## [Unreleased]" in changelog


def test_public_names_are_there() -> None:
    from peftsearch.architecture import Architecture

    assert peftsearch.Architecture is Architecture
    assert {"run", "apply", "save", "load"} <= set(dir(peftsearch))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        peftsearch.nonsense  # noqa: B018
