"""Fixtures: material of a run, runs that nothing interrupts, and a shorter pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from peftsearch import baselines, pipeline
from tests.pipeline.material import Material, build


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return build(tmp_path_factory.mktemp("material"))


@pytest.fixture(scope="session")
def finished(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, report included; to be read only."""
    out = tmp_path_factory.mktemp("runs") / "finished"
    pipeline.run(material.config(), out=out, command=["peftsearch", "run"])
    return out


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the report, and all uniform baselines but one."""
    monkeypatch.setattr("peftsearch.report.write_report", lambda path: None)
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
