"""``retrain``: a run goes on, an architecture of a file makes a run of its own."""

from __future__ import annotations

import json
from pathlib import Path

FILE = {
    "format": 1,
    "model": "micro-t5",
    "task": "micro-nli",
    "backbone_parameters": 1000,
    "budget": {"requested": "2%", "limit": 20},
    "num_params": 8,
    "choices": [
        {
            "site": "encoder.00.attention",
            "method": "ia3",
            "size": 1,
            "modules": ["k", "v"],
            "num_params": 8,
        }
    ],
}


def test_a_file_makes_a_run_without_a_search(invoke, pipeline):
    Path("found.json").write_text(json.dumps(FILE))
    outcome = invoke("retrain", "found.json", "--task", "rte", "--seeds", "2", "--out", "a")
    assert outcome.code == 0
    name, given = pipeline.calls[0]
    config = given["config"]
    assert name == "run"
    assert config.architecture == "found.json"
    assert (config.model, config.task, config.budget) == ("micro-t5", "rte", "2%")
    assert (config.seeds, config.out) == (2, "a")


def test_a_run_keeps_its_settings(invoke, pipeline):
    assert invoke("run", "--out", "old").code == 0
    outcome = invoke("retrain", "old", "--task", "rte")
    assert outcome.code == 2
    assert "old is a run, which keeps its settings." in outcome.err
    assert "peftsearch retrain old/architecture.json --task rte" in outcome.err


def test_what_does_not_go_with_a_file(invoke, pipeline):
    Path("found.json").write_text(json.dumps(FILE))
    outcome = invoke("retrain", "found.json", "--resume", "old")
    assert outcome.code == 2
    assert "--resume and --architecture do not go with it" in outcome.err
    assert not pipeline.calls
