"""The examples run as a user runs them, and what is interrupted ends as what is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

import peftsearch
from peftsearch.micro import MODEL_DIRS
from tests.conftest import ROOT

STEPS = "4"
#: Class and built-in model of each example, and what it resumes from.
EXAMPLES: dict[str, tuple[Any, str, str]] = {
    "trainer": (AutoModelForSeq2SeqLM, "micro-t5", "checkpoint-2"),
    "accelerate_loop": (AutoModelForSeq2SeqLM, "micro-t5", "state"),
    "trl_sft": (AutoModelForCausalLM, "micro-bert", "checkpoint-2"),
}


def _script(name: str) -> Path:
    if name == "trl_sft":
        pytest.importorskip("trl")
    return ROOT / "examples" / f"{name}.py"


@pytest.fixture(scope="module", params=EXAMPLES)
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output folder of an example that ran to its end in a process of its own."""
    out = tmp_path_factory.mktemp("examples") / request.param
    command = [sys.executable, str(_script(request.param)), "--out", str(out), "--steps", STEPS]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    return out


def test_what_it_leaves_is_a_plain_backbone_and_the_layers(finished: Path) -> None:
    kind, model, _ = EXAMPLES[finished.name]
    backbone, report = kind.from_pretrained(finished / "trained", output_loading_info=True)
    assert not any(report.values()), report
    before, _ = kind.from_pretrained(MODEL_DIRS[model], output_loading_info=True)
    unloaded = set() if model == "micro-t5" else {"cls"}  # micro-bert's own text head is fresh
    for name, parameter in before.named_parameters():
        if name.split(".")[0] not in unloaded:
            assert torch.equal(parameter, backbone.get_parameter(name)), name
    loaded = peftsearch.load(finished / "trained", backbone)
    fresh = kind.from_pretrained(MODEL_DIRS[model])
    torch.manual_seed(0)
    peftsearch.apply(fresh, loaded.peftsearch_architecture)
    moved = [
        not torch.equal(p, fresh.get_parameter(n))
        for n, p in loaded.named_parameters()
        if p.requires_grad
    ]
    assert len(moved) > 5
    assert all(moved)


@pytest.mark.filterwarnings("ignore")  # of the trainers
def test_a_resumed_training_ends_bit_for_bit_as_one_that_was_not_interrupted(
    finished: Path, tmp_path: Path
) -> None:
    """All but the state at half time is taken away."""
    half = EXAMPLES[finished.name][2]
    shutil.copytree(finished / half, tmp_path / half)
    spec = spec_from_file_location("example", _script(finished.name))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(["--out", str(tmp_path), "--steps", STEPS, "--resume"])
    for name in ("adapter.safetensors", "model.safetensors"):
        once, again = (load_file(folder / "trained" / name) for folder in (finished, tmp_path))
        assert once.keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in once.items())
    halfway = finished / half / "model.safetensors"
    inserted = [t for k, t in load_file(halfway).items() if ".peftsearch." in k]
    assert inserted, "a state holds the inserted layers"
