"""``list``, ``show``, ``validate``, ``env``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peftsearch import environment
from peftsearch.catalogue import method_facts, spaces
from peftsearch.cli.checking import kind_of
from peftsearch.micro import MODEL_DIRS

SPACE = """
name: mine
description: For a test.
combine: one
sites:
  - where: {part: attention, layer: [0, 1]}
    candidates:
      - {method: lora, modules: [q, v], sizes: [1, 2]}
  - candidates:
      - {method: bitfit}
"""
TASK = "name: mine\ncolumns: [a]\nlabels: [x, y]\n"
ARCHITECTURE = {
    "format": 1,
    "model": "micro-t5",
    "task": "rte",
    "backbone_parameters": 1000,
    "budget": {"requested": "5%", "limit": 50},
    "num_params": 48,
    "choices": [
        {
            "site": "encoder.00.attention",
            "method": "lora",
            "size": 2,
            "modules": ["q", "v"],
            "num_params": 48,
        },
        {"site": "encoder.00.feed_forward", "method": "none", "num_params": 0},
    ],
}


def test_lists_name_what_is_registered(invoke):
    out = invoke("list", "methods").out
    assert out.splitlines()[0].startswith("name")
    for name in method_facts():
        assert f"\n{name}" in out
    models = invoke("list", "models").out
    assert all(f"\n{name} " in models for name in MODEL_DIRS)
    assert "micro-nli" in invoke("list", "tasks").out
    assert "peft" in invoke("list", "exporters").out
    assert "\nhub " in invoke("list", "exporters").out
    listed = json.loads(invoke("list", "spaces", "--json").out)["spaces"]
    assert [entry["name"] for entry in listed] == list(spaces())


@pytest.mark.parametrize("kind", ["native", "architecture"])
def test_schemas_are_published(invoke, kind):
    schema = json.loads(invoke("config", "schema", kind).out)
    assert schema["$id"] == f"urn:peftsearch:{kind}:1"
    assert schema["properties"]["format"]["const"] == 1
    assert invoke("config", "schema", "nativ").code == 2


def test_show_a_run_before_and_after_its_end(invoke, pipeline):
    pipeline.fail = KeyboardInterrupt()
    invoke("run", "--out", "a")
    out = invoke("show", "a").out
    assert "micro-t5 on micro-nli, budget 1%" in out
    assert "Continue with: peftsearch run --resume a" in out
    pipeline.fail = None
    invoke("run", "--out", "b")
    assert "Found beats every baseline." in invoke("show", "b").out


def test_show_an_architecture(invoke):
    Path("a.json").write_text(json.dumps(ARCHITECTURE))
    out = invoke("show", "a.json").out
    assert "48 of 50 parameters (4.8% of 1,000)" in out
    assert "lora: 1 sites, 48 parameters" in out
    assert "encoder.00.attention  lora    2     q,v" in out
    assert "nothing: 1 sites" in out


def test_show_a_space(invoke):
    Path("s.yaml").write_text(SPACE)
    assert invoke("show", "s.yaml").out.splitlines() == [
        "Search space mine (combine one)",
        "  For a test.",
        "layer 0, layer 1, attention",
        "  lora on q,v: 1, 2",
        "everywhere",
        "  bitfit",
    ]
    Path("c.yaml").write_text("seed: 1")
    outcome = invoke("show", "c.yaml")
    assert (outcome.code, outcome.out) == (2, "")
    assert "peftsearch validate c.yaml" in outcome.err


def test_validate_accepts_each_kind(invoke, pipeline):
    invoke("run", "--out", "a")
    Path("s.yaml").write_text(SPACE)
    Path("a.json").write_text(json.dumps(ARCHITECTURE))
    Path("t.yaml").write_text(TASK)
    outcome = invoke("validate", "s.yaml", "a.json", "a/config.yaml", "t.yaml")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        "s.yaml: valid search space",
        "a.json: valid architecture",
        "a/config.yaml: valid configuration",
        "t.yaml: valid task",
    ]


def changed(**values: object) -> str:
    return json.dumps({**ARCHITECTURE, **values})


LORA, NOTHING = ARCHITECTURE["choices"]  # type: ignore[misc]


# One failing example for each check that the help lists.
@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.yaml", "a: [", "is not valid YAML"),
        ("a.json", "{", "is not a JSON file"),
        ("a.yaml", "colour: red", "is of no kind that is known"),
        ("a.yaml", "[1]", "is of no kind that is known"),
        ("a.yaml", "seed: 1\nsedd: 1", 'unknown key "sedd"'),
        ("a.yaml", "seed: 1\nsearch: {stepz: 1}", 'unknown key "search.stepz"'),
        ("a.yaml", "seed: x", "seed must be a whole number"),
        ("a.yaml", "seeds: 0", "seeds must be at least 1"),
        ("a.yaml", "budget: lots", "is not a budget"),
        ("a.yaml", "precision: fp16", "--precision bf16"),
        ("a.yaml", "device: gpu", 'device "gpu" is not known'),
        ("a.yaml", "preset: fast", 'preset "fast" is not known'),
        ("a.yaml", "task: rt", 'task "rt" is not known'),
        ("a.yaml", "seed: 1\nspace: nope", 'space "nope" is not known'),
        ("a.yaml", "learning_rates: {lorra: 1}", "no such method"),
        ("a.yaml", "export: {targets: [peeft]}", 'export.targets "peeft" is not known'),
        ("a.yaml", SPACE + "colour: red", 'unknown key "colour"'),
        ("a.yaml", SPACE.replace("combine: one", "combine: two"), 'combine "two" is not known'),
        ("a.yaml", SPACE.replace("attention", "atention"), 'part "atention" is not known'),
        ("a.yaml", SPACE.replace("method: lora", "method: lorra"), 'method "lorra" is not known'),
        ("a.yaml", SPACE.replace("[1, 2]}", "[2, 1]}"), "must rise without repeats"),
        ("a.yaml", SPACE.replace(", sizes: [1, 2]}", "}"), "lora needs sizes"),
        ("a.yaml", SPACE.replace("[0, 1]", "[-1]"), "layer must be whole numbers from 0"),
        ("a.yaml", TASK + "templat: 1", "templat"),
        ("a.yaml", TASK + "kind: ranking", 'kind "ranking" is not known'),
        ("a.yaml", TASK.replace("[x, y]", "[x, x]"), "labels names something twice"),
        ("a.yaml", TASK + "label_words: [p, p]", "label_words names something twice"),
        ("a.yaml", TASK + "template: 'q {z}'", "which is no column"),
        ("a.yaml", TASK + "metrics: [acuracy]", 'metric "acuracy" is not known'),
        ("a.json", changed(format=2), "format 2 is not known"),
        ("a.json", changed(colour="red"), "unknown key colour"),
        ("a.json", changed(choices=[{**LORA, "site": "here"}]), "is not valid"),
        ("a.json", changed(choices=[{**LORA, "method": "lorra"}]), 'method "lorra" is not known'),
        ("a.json", changed(num_params=47), "its choices add up to 48"),
        ("a.json", changed(budget={"requested": "1", "limit": 47}), "exceed the limit 47"),
        ("a.json", changed(num_params=96, choices=[LORA, LORA]), "has lora twice"),
    ],
)
def test_validate_refuses(invoke, name, content, text):
    Path(name).write_text(content)
    outcome = invoke("validate", name)
    assert (outcome.code, outcome.out) == (2, "")
    assert text in outcome.err
    data = json.loads(invoke("validate", name, "--json").out)
    assert data["files"][0]["valid"] is False
    assert text in " ".join(data["files"][0]["problems"])


def test_validate_names_the_problems_of_all_files(invoke):
    Path("a.yaml").write_text("seed: x\nbudget: 1")
    Path("b.json").write_text(changed(num_params=47))
    Path("s.yaml").write_text(SPACE)
    outcome = invoke("validate", "a.yaml", "b.json", "s.yaml", "no.yaml")
    assert outcome.code == 2
    assert outcome.out == "s.yaml: valid search space\n"
    for text in ("4 problems", "a.yaml: seed", "a.yaml: budget", "b.json", "no.yaml does not"):
        assert text in outcome.err


def test_kinds_are_recognised_by_their_keys():
    assert kind_of({"name": "x", "columns": ["a"]}) == "task"
    assert kind_of({"task": "rte", "model": "m", "budget": "1%"}) == "configuration"
    assert kind_of(ARCHITECTURE) == "architecture"
    assert kind_of([]) == kind_of({}) == kind_of({"x": 1}) == ""


def test_env_prints_no_secret(invoke, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret1")
    monkeypatch.setenv("HF_ENDPOINT", "https://me:secret2@hub.example/x?token=secret3")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for words in (("env",), ("env", "--json")):
        outcome = invoke(*words)
        assert outcome.code == 0
        assert "secret" not in outcome.out + outcome.err
        assert "https://hub.example/x" in outcome.out
    assert environment.hub()["offline"] is True
    assert environment.hub({})["offline"] is False
    assert "python" in environment.versions()
