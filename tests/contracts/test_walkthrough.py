"""The walk-through of CONTRIBUTING.md, "Add a method", followed to the letter."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: What a newcomer would do with the new method: list, validate, count, apply, run its contract.
FOLLOW = """
import sys
from typer.testing import CliRunner
from peftsearch import apply, testing
from peftsearch.catalogue import method_facts
from peftsearch.cli import app
from peftsearch.backbones.base import wrap
from tests.models import inputs, t5

listed = CliRunner().invoke(app, ["list", "methods"])
assert listed.exit_code == 0 and "gain" in listed.output, listed.output
assert "torch" in sys.modules and method_facts()["gain"].source == SOURCE
validated = CliRunner().invoke(app, ["validate", "gains.yaml"])
assert validated.exit_code == 0, validated.output

backbone = wrap("t5", t5())
choices = testing.choices_for(backbone, "gain")
assert {c.num_params for c in choices} == {1, 2}
assert len(choices) == 2 * 2 + 2 * 3, "two parts of an encoder layer, three of a decoder layer"
model = t5()
apply(model, testing.architecture_of(backbone, choices))
trained = [name for name, p in model.named_parameters() if p.requires_grad]
assert len(trained) == sum(c.num_params for c in choices)

def make():
    model = t5()
    return model, inputs(model)

testing.check_method("gain", make)
"""


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language in the section "Add a method"."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    section = text.split("\n## Add a method\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def follow(folder: Path, source: str, paths: list[Path]) -> None:
    """Run the newcomer's steps in a fresh process with ``paths`` first."""
    (folder / "gains.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"SOURCE = {source!r}\n{FOLLOW}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_file_among_the_methods(tmp_path: Path) -> None:
    unwanted = shutil.ignore_patterns("__pycache__")
    for name in ("peftsearch", "search_spaces"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=unwanted)
    (tmp_path / "tests").mkdir()
    for path in (ROOT / "tests").glob("*models.py"):
        shutil.copy(path, tmp_path / "tests")
    (code,) = blocks("python")
    (tmp_path / "peftsearch" / "methods" / "gain.py").write_text(code, encoding="utf-8")
    follow(tmp_path, "peftsearch.methods.gain", [tmp_path])


def test_a_plug_in(tmp_path: Path) -> None:
    (code,), (entry_points,) = blocks("python"), blocks("toml")
    table, line = entry_points.strip().splitlines()
    assert table == '[project.entry-points."peftsearch.methods"]'
    name, module = re.fullmatch(r'(\w+) = "([\w.]+)"', line).groups()
    package = tmp_path / module.split(".")[0]
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "gain.py").write_text(code, encoding="utf-8")
    facts = tmp_path / "my_package-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[peftsearch.methods]\n{name} = {module}\n")
    follow(tmp_path, module, [tmp_path, ROOT])


@pytest.mark.parametrize("language", ["python", "yaml", "toml"])
def test_the_walk_through_has_one_block_each(language: str) -> None:
    assert len(blocks(language)) == 1
