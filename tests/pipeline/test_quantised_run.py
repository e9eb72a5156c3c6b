"""A whole run on a backbone in 4 or 8 bits: bitsandbytes on the CPU, where it is installed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch

import peftsearch
from peftsearch import pipeline, session
from peftsearch.errors import ConfigError, MissingError
from tests.pipeline.material import Material


def test_without_cuda_it_is_refused(material: Material, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    for device in ("auto", "cpu"):
        with pytest.raises(MissingError, match='load_in "4bit" needs a CUDA device') as caught:
            pipeline.run(material.config(load_in="4bit", device=device), out=tmp_path / device)
        assert caught.value.exit_code == 3
        assert "--precision bf16" in caught.value.hint


def test_without_bitsandbytes_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="needs bitsandbytes, which is not installed") as caught:
        session.require_bitsandbytes("8bit", "cuda")
    assert (caught.value.exit_code, caught.value.hint) == (3, "pip install 'peftsearch[quantise]'")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("model", "bits", "precision"), [("bert", "4bit", "fp32"), ("bert", "8bit", "bf16")]
)
def test_a_whole_run(
    model: str,
    bits: str,
    precision: str,
    material: Material,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is an extra: peftsearch[quantise]")
    monkeypatch.setattr(session, "require_bitsandbytes", lambda load_in, device: None)
    # On some processors it scores with a kernel for widths that are multiples of 32.
    name = "bitsandbytes.nn.modules.has_avx512bf16"
    monkeypatch.setattr(name, lambda: False, raising=False)
    out = tmp_path / "run"
    config = material.config(model, load_in=bits, precision=precision, budget="12%")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "MatMul8bitLt: inputs will be cast", UserWarning)
        found = pipeline.run(config, out=out)
    plain = pipeline.plan(material.config(model, budget="12%"))
    assert found.summary["budget"]["denominator"] == plain["budget"]["denominator"]
    for target in ("native", "peft"):
        if not found.summary["exports"][target]["verified"]:
            assert found.summary["exports"][target]["problems"]
            continue
        check = json.loads((out / "export" / target / "check.json").read_text())
        assert f"linear maps in {bits}" in check["notes"]["base"]
    loaded = peftsearch.load(out / "export" / "native", check=True)
    assert all(p.is_floating_point() for p in loaded.parameters())
    with pytest.raises(ConfigError, match="load_in: the run has"):
        peftsearch.config.resume(config, flags={"load_in": "8bit" if bits == "4bit" else "4bit"})
