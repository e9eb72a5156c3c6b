"""A run's exports on the loopback Hub: the card tells of the run, and its lines load the model."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftsearch import baselines, pipeline
from peftsearch.architecture import Architecture
from tests.hub.server import LoopbackHub
from tests.hub.test_upload import TOKEN, accounts, environment, files, run_child
from tests.pipeline.material import build, write_space

FORMS = ("native", "peft", "merged")
#: Runs the code of each card as a reader would, and compares the logits with those of the run.
READER = """
import json, re, sys
from pathlib import Path
from safetensors.torch import load_file
from peftsearch.export.base import logits_of
check = load_file(Path(sys.argv[1], "check.safetensors"))
wanted = check.pop("logits")
inputs = {name.removeprefix("inputs/"): tensor for name, tensor in check.items()}
found = {}
for card in sys.argv[2:]:
    code = re.search(r"```python\\n(.*?)```", Path(card).read_text(), flags=re.DOTALL)[1]
    names = {}
    exec(code, names)
    found[card] = float((logits_of(names["model"], inputs) - wanted).abs().max())
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run over LoRA, on a model and rows in folders."""
    folder = tmp_path_factory.mktemp("found")
    material = build(folder / "material")
    lora = {"method": "lora", "modules": ["q", "v"], "sizes": [1, 2]}
    space = write_space(folder / "lora.yaml", "attention", lora)
    config = material.config(space=str(space), export={"targets": ["native"]}, seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peftsearch.report.write_report", lambda path: None)
        patch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
        command = ["peftsearch", "run", "--task", "rte", "--space", "my space|.yaml"]
        pipeline.run(config, out=folder / "run", command=command)
    return folder / "run"


def test_a_run_is_published_and_loaded_by_its_card(
    run: Path, hub: LoopbackHub, tmp_path: Path
) -> None:
    accounts(hub)
    commands = [
        [TOKEN, "export", str(run), "--to", "hub", "--repo", f"me/{form}", "--from", form]
        for form in FORMS
    ]
    env = environment(hub)
    for form, ended in zip(FORMS, run_child(commands, tmp_path, env), strict=True):
        assert (ended.code, ended.out) == (0, f"{hub.url}/me/{form}\n"), ended.err
        assert "name the backbone by a folder of this machine" in ended.err
        _check_card(files(hub, f"me/{form}"), run, form)
    left = {path.name for path in (run / "export").iterdir()}
    assert left == {"native", "hub"}
    cards = []
    for form in FORMS:
        cards.append(tmp_path / f"{form}.md")
        cards[-1].write_bytes(files(hub, f"me/{form}")["README.md"])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READER, run / "export/native", *cards],
        cwd=tmp_path,
        env={**env, "HF_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == len(FORMS)
    assert max(found.values()) <= 1e-5


def _check_card(uploaded: dict[str, bytes], run: Path, form: str) -> None:
    """Compare a card with the files of the run."""
    card = uploaded["README.md"].decode()
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text())
    front = yaml.safe_load(card.split("---\n")[1])
    libraries = {"native": "peftsearch", "peft": "peft", "merged": "transformers"}
    assert front["library_name"] == libraries[form]
    assert front["metrics"] == ["accuracy"]
    assert "base_model" not in front  # a folder
    assert "datasets" not in front  # rows of a folder, not those of GLUE
    found = summary["found"]
    for entry in (found, max(summary["baselines"].values(), key=lambda b: b["mean"])):
        assert f"| {100 * entry['mean']:.1f} % ± {100 * entry['sd']:.1f} (n = 2) |" in card
    limit = Architecture.load(run / "architecture.json").limit
    assert f"{found['num_params']:,} of at most {limit:,} parameters" in card
    assert "peftsearch run --task rte --space 'my space|.yaml'" in card
    assert "these weights are the first's" in card
    alerts = [alert["text"] for alert in summary["alerts"]]
    plain = re.sub(r"\\(.)", r"\1", card)
    assert alerts
    assert all(text in plain for text in alerts)
    assert json.loads(uploaded["check.json"])["trained"]
