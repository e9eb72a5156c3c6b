"""What the loopback Hub serves: a small T5 under t5-base's name, and rows in the shape of RTE."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from peftsearch.tasks.sounds import encoded

TRAIN_ROWS, VALIDATION_ROWS, TEST_ROWS = 320, 80, 40
REDIRECTS = {"t5-base": "google-t5/t5-base", "old/topics": "test/topics"}

_PEOPLE = "Anna Boris Clara David Elena Felix Greta Henry".split()
_ACTIONS = "visited left painted sold repaired admired photographed crossed".split()
_THINGS = "bridge castle museum harbour garden station theatre library".split()
_README = """---
configs:
- config_name: rte
  data_files:
  - split: train
    path: rte/train-*
  - split: validation
    path: rte/validation-*
  - split: test
    path: rte/test-*
---
"""


def build(folder: Path) -> dict[str, dict[str, bytes]]:
    """Write models and data sets under a folder with the real libraries, and read the bytes."""
    _write_t5(folder / "t5")
    _write_rte(folder / "glue" / "rte")
    _write_named(folder / "named")
    _write_sounds(folder / "named" / "clips")
    kinds = ("topics", "spans", "open", "pets", "clips")
    named = {name: _files(folder / "named" / name) for name in kinds}
    t5 = _files(folder / "t5")
    glue = {"README.md": _README.encode(), **_files(folder / "glue")}
    no_weights = {name: body for name, body in t5.items() if not name.endswith(".safetensors")}
    damaged = {**t5, "model.safetensors": t5["model.safetensors"][:-40] + b"\0" * 8}
    return {
        "models/google-t5/t5-base": t5,
        "datasets/nyu-mll/glue": glue,
        "models/test/no-weights": no_weights,
        "models/test/damaged": damaged,
        "models/test/empty": {"README.md": b"nothing"},
        **{f"models/test/{name}": t5 for name in ("flaky", "error", "slow", "stalled", "cut")},
        **{f"models/test/{name}": t5 for name in ("gated", "busy", "weights-error")},
        **{f"datasets/test/{name}": files for name, files in named.items()},
        **{f"datasets/test/{n}-topics": named["topics"] for n in ("gated", "cut", "broken")},
        "datasets/test/script": {"script.py": b"raise SystemExit('code of a data set ran')"},
        **{f"datasets/test/{name}": glue for name in ("gated", "error", "slow", "stalled", "cut")},
    }


def rte_rows(count: int, seed: int) -> list[dict[str, str | int]]:
    """Rows whose hypothesis repeats the premise (0) or changes a word of it (1)."""
    rng = random.Random(seed)
    rows: list[dict[str, str | int]] = []
    for idx in range(count):
        who, did, what = rng.choice(_PEOPLE), rng.choice(_ACTIONS), rng.choice(_THINGS)
        label = idx % 2
        other = rng.choice([thing for thing in _THINGS if thing != what])
        premise = f"On day {idx} {who} {did} the {what}."
        hypothesis = f"{who} {did} the {other if label else what}."
        rows.append({"sentence1": premise, "sentence2": hypothesis, "label": label, "idx": idx})
    return rows


def _write_t5(folder: Path) -> None:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    words = [*_PEOPLE, *_ACTIONS, *_THINGS, *"On day the rte : sentence".split()]
    words += ["entailment", "not"]
    letters = [chr(code) for code in range(33, 127)]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -6.0)]
    pieces += [(f"▁{word}", -2.0) for word in words]
    pieces += [("_entailment", -2.0), *((letter, -8.0) for letter in letters)]
    tokenizer = T5Tokenizer(vocab=pieces, extra_ids=4)
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_heads=4,
        num_layers=3,
        num_decoder_layers=2,
        dropout_rate=0.1,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _write_rte(folder: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value

    folder.mkdir(parents=True)
    features = Features(
        sentence1=Value("string"),
        sentence2=Value("string"),
        label=ClassLabel(names=["entailment", "not_entailment"]),
        idx=Value("int32"),
    )
    counts = {"train": TRAIN_ROWS, "validation": VALIDATION_ROWS, "test": TEST_ROWS}
    for seed, (split, count) in enumerate(counts.items()):
        rows = rte_rows(count, seed)
        if split == "test":
            rows = [{**row, "label": -1} for row in rows]
        table = Dataset.from_list(rows, features=features)
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def _write_named(folder: Path) -> None:
    """Data sets as people publish them: Parquet with types, JSON lines, no card."""
    from datasets import ClassLabel, Dataset, Features, Value

    topics = Features(
        id=Value("int64"), title=Value("string"), topic=ClassLabel(names=["sport", "art"])
    )
    for split, count in (("train", 60), ("test", 12)):
        rows = [{"id": i, "title": f"{split} {i}", "topic": i % 2} for i in range(count)]
        (folder / "topics" / "data").mkdir(parents=True, exist_ok=True)
        path = folder / "topics" / "data" / f"{split}-00000-of-00001.parquet"
        Dataset.from_list(rows, features=topics).to_parquet(path)
    _write_pets(folder / "pets")
    for name in ("spans", "open"):
        (folder / name).mkdir(parents=True)
    for split in ("train", "validation"):
        spans = [
            {"id": str(i), "context": f"It is {i} here.", "question": "How much?",
             "answers": {"text": [str(i)], "answer_start": [6]}}
            for i in range(20)
        ]  # fmt: skip
        unclear = [{"a": f"x {i}", "b": f"{i} y", "stars": i % 3} for i in range(20)]
        for name, rows in (("spans", spans), ("open", unclear)):
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / name / f"{split}.jsonl").write_text(lines)


def clip(number: int) -> bytes:
    """Return the bytes of a sound: 0.1 s, of another pitch for every number."""
    time = np.arange(800) / 8000
    return encoded(np.sin(2 * np.pi * (200 + 10 * number) * time).astype(np.float32), 8000)


def _write_sounds(folder: Path) -> None:
    """Sounds with what is said, as the type ``Audio`` keeps them: bytes, and a name."""
    import pyarrow
    from pyarrow import parquet

    # As datasets writes it, which encodes sounds with a package that reading does not need.
    features = {
        "audio": {"_type": "Audio"},
        "speaker": {"dtype": "int64", "_type": "Value"},
        "sentence": {"dtype": "string", "_type": "Value"},
    }
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    (folder / "data").mkdir(parents=True)
    for split, count in (("train", 20), ("test", 12)):
        rows = [
            {
                "audio": {"bytes": clip(i), "path": f"{i}.wav"},
                "speaker": i,
                "sentence": f"{split} {i}",
            }
            for i in range(count)
        ]
        table = pyarrow.Table.from_pylist(rows).replace_schema_metadata(note)
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")


def _write_pets(folder: Path) -> None:
    """A data set of images, stored as the Hub stores them: bytes in a column of its own type."""
    from datasets import ClassLabel, Dataset, Features, Image
    from PIL import Image as Pillow

    features = Features(photo=Image(), label=ClassLabel(names=["cat", "dog"]))
    folder.mkdir(parents=True)
    for start, split in enumerate(("train", "test")):
        levels = [np.full((4, 4), 100 * start + i, np.uint8) for i in range(20)]
        rows = [{"photo": Pillow.fromarray(x), "label": i % 2} for i, x in enumerate(levels)]
        table = Dataset.from_list(rows, features=features)
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
