"""The documents of the exports: the table is current, and every snippet runs."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from peftsearch import catalogue
from peftsearch.backbones.loading import load_backbone
from peftsearch.export import capabilities
from peftsearch.export.base import logits_of
from peftsearch.export.native import FORMAT, composition_order
from peftsearch.export.writing import export
from peftsearch.micro import MODEL_DIRS
from tests.unit.export.material import bundle_of, random_choices

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = (DOCS / "export.md").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:Already found a:UserWarning"),
]


def test_the_table_is_current() -> None:
    assert capabilities.renewed(TEXT) == TEXT, "run: python scripts/export_table.py"
    assert capabilities.capability_table() in TEXT


def test_the_table_says_what_the_exporters_declare() -> None:
    """Read back from the document, cell by cell."""
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", TEXT, flags=re.MULTILINE)
    names = re.findall(r"`([\w-]+)`", re.search(r"^\| method .*$", TEXT, re.MULTILINE)[0])  # type: ignore[index]
    assert names == list(catalogue.exporters())
    assert [name for name, _ in rows] == [m for m in catalogue.method_facts() if m != "none"]
    for method, cells in rows:
        for target, cell in zip(names, cells.split(" | "), strict=True):
            card = catalogue.exporters()[target]
            said = {
                bool(card.reason(method, part, family))
                for part in catalogue.method_facts()[method].modules
                for family in catalogue.families()
            }
            assert cell == {(True,): "no", (False,): "yes"}.get(tuple(said), "in part")


def test_the_format_page_has_the_order_and_the_version() -> None:
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    order = composition_order(name for name in catalogue.method_facts() if name != "none")
    assert ", ".join(f"`{name}`" for name in order) in text
    assert f"version {FORMAT}" in text.splitlines()[0]


def _blocks() -> dict[str, str]:
    """Return the Python of each target's section."""
    found = {}
    for section in TEXT.split("\n## ")[1:]:
        code = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
        name = section.splitlines()[0]
        # That of adapters runs elsewhere, see test_adapters_export.py.
        if code and name in catalogue.exporters() and name != "adapters":
            found[name] = "\n".join(code)
    return found


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Return a folder as the document means it, and the lines and logits of each export."""
    root = tmp_path_factory.mktemp("docs")
    shutil.copytree(MODEL_DIRS["micro-t5"], root / "my-backbone")
    seen = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        backbone = load_backbone("my-backbone", 2)
        for target in _blocks():
            held = ["lora"] if target == "peft-serving" else ["lora", "ia3", "layernorm"]
            held += ["prefix", "adapter"] if target == "native" else []
            bundle = bundle_of(backbone, random_choices(backbone, held, 0), std=0.05)
            named = replace(bundle.architecture, model="my-backbone")
            bundle = replace(bundle, architecture=named)
            export(bundle, target, Path("export", target))
            seen[target] = bundle
    return root, seen


@pytest.mark.parametrize("target", _blocks())
@pytest.mark.parametrize("source", ["docs", "check.json"])
def test_snippets_run(
    target: str,
    source: str,
    exported: tuple[Path, dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, seen = exported
    monkeypatch.chdir(root)
    bundle = seen[target]
    code = _blocks()[target]
    if source == "check.json":
        code = "\n".join(json.loads(Path("export", target, "check.json").read_text())["load"])
    names: dict[str, Any] = {}
    exec(code, names)
    found = logits_of(names["model"], bundle.check_inputs)
    allowed = 1e-5 * max(1.0, float(bundle.check_logits.abs().max()))
    assert float((found - bundle.check_logits).abs().max()) <= allowed


def test_every_target_has_a_snippet() -> None:
    assert set(_blocks()) >= {"native", "peft", "peft-serving", "merged"}
