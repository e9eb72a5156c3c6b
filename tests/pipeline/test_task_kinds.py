"""Whole runs on every kind of task, with a head of each kind, to exports that load back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import peftsearch
from peftsearch import baselines, pipeline, planning
from peftsearch.errors import ConfigError
from peftsearch.tasks import get
from tests.pipeline.material import WORDS, Material

COPA = {"premise": "the cat", "question": "no", "choice1": "a dog", "choice2": "one bird"}
ROWS: dict[str, dict[str, Any]] = {
    "copa": {**COPA, "label": 1},
    "record": {
        "passage": "the cat sees a dog",
        "query": "@placeholder likes birds",
        "entities": ["cat", "red dog", "no"],
        "answers": ["cat", "no"],
    },
    "multirc": {"paragraph": "the cat", "question": "who", "answer": "a dog", "label": 0},
}
TASKS = {
    "tagging": "kind: tagging\ncolumns: [words]\nlabel_column: tags\nlabels: [O, B-X, I-X]\n",
    "extraction": "kind: extraction\ncolumns: [question, context]\nlabel_column: answers\n"
    "unanswerable: true\nmax_length: 12\nstride: 2\n",
    "two": "kind: choice\ncolumns: [premise]\nchoices: [choice1, choice2]\n"
    "label_words: ['0', '5']\n",
    "written": "columns: [sentence1]\nlabels: ['0', '5']\nscoring: generation\n",
}


def rows_of(name: str, count: int) -> list[dict[str, Any]]:
    """Return rows of one kind, all different."""
    found: list[dict[str, Any]] = []
    for i in range(count):
        words = [WORDS[(i * k + k) % len(WORDS)] for k in range(1, 7)]
        if name == "tagging":
            tags = ["B-X", "I-X", *["O"] * 4] if i % 2 else ["O"] * 6
            found.append({"words": words, "tags": tags})
        elif name == "extraction":
            answers = {"text": words[1:2] if i % 3 else []}
            found.append(
                {"question": f"{words[0]} {i}", "context": " ".join(words * 2), "answers": answers}
            )
        elif name == "written":
            label = ("0", "5")[i % 2]
            found.append({"sentence1": f"{' '.join(words)} {i}", "label": label})
        else:
            row = dict(ROWS.get(name, ROWS["copa"]))
            first = "paragraph" if name == "multirc" else next(iter(row))
            row[first] = f"{row[first]} {' '.join(words)} {i // 2}"
            if "label" in row:
                row["label"] = i % 2
            found.append(row)
    return found


def material_of(name: str, folder: Path) -> dict[str, str]:
    """Write rows, and the task where it is not built in."""
    for split, count in (("train", 60), ("validation", 16)):
        lines = map(json.dumps, rows_of(name, count))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    if name not in TASKS:
        return {"task": name, "data": str(folder)}
    path = folder / f"{name}.yaml"
    path.write_text(TASKS[name] + "data: .\n")
    return {"task": str(path), "data": str(folder)}


@pytest.mark.parametrize(
    ("name", "model"),
    [
        pytest.param("tagging", "bert", marks=pytest.mark.slow),
        ("extraction", "bert"),
        *(
            pytest.param(*each, marks=pytest.mark.slow)
            for each in (
                ("copa", "bert"),
                ("two", "t5"),
                ("record", "bert"),
                ("record", "t5"),
                ("multirc", "bert"),
                ("extraction", "t5"),
                ("written", "t5"),
            )
        ),
    ],
)
def test_a_run_to_its_report(
    name: str, model: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
    given = material_of(name, tmp_path)
    settings = material.config(model, exportable_to="peft", **given)
    out = tmp_path / "run"
    result = pipeline.run(settings, out=out)
    assert all(check["verified"] for check in result.summary["exports"].values())
    test = json.loads((out / "retrain/seed-0/metrics.json").read_text())["test"]
    assert list(test) == list(get(given["task"]).metrics)
    assert all(0 <= value <= 1 for value in test.values())
    loaded = peftsearch.load(out / "export" / "native", check=True)
    ends = {"tagging": "TokenClassification", "extraction": "QuestionAnswering"}
    wanted = ends.get(name, "SequenceClassification") if model == "bert" else "Generation"
    assert type(loaded).__name__.endswith(wanted)
    plan = planning.plan(settings)
    sites = json.loads((out / "sites.json").read_text())
    assert plan["head_parameters"] == sites["head_parameters"]
    assert plan["backbone_parameters"] == sites["backbone_parameters"]
    head = {"copa": 17, "record": 17, "multirc": 34, "tagging": 51, "extraction": 34}
    if model == "bert":  # the width is 16, and each output has a bias
        assert plan["head_parameters"] == head[name]


def test_tagging_is_refused_for_a_model_that_writes(material: Material, tmp_path: Path) -> None:
    settings = material.config("t5", **material_of("tagging", tmp_path))
    with pytest.raises(ConfigError, match="needs an encoder with a head for words"):
        planning.plan(settings)
