"""The script of the trl export really trains: two steps, on a decoder and on encoder-decoders."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from transformers import AutoTokenizer

from peftsearch.backbones.base import Backbone, wrap
from peftsearch.catalogue import exporters
from peftsearch.export import trl_script
from peftsearch.export.base import logits_of, untrained
from peftsearch.export.trl import SCRIPT
from peftsearch.export.writing import export
from peftsearch.site import split_id
from tests.models import FACTORIES, inputs
from tests.unit.export import decoders
from tests.unit.export.material import architecture, choice, random_choices

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*gradient_checkpointing:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Already found a:UserWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning"),
    pytest.mark.filterwarnings("ignore:Detected that the base:UserWarning"),
]
OPTIONS = (
    "--max_steps=2 --per_device_train_batch_size=4 --gradient_accumulation_steps=1 "
    "--logging_steps=1 --lr_scheduler_type=constant --warmup_steps=0 --learning_rate=0.05 "
    "--disable_tqdm=True --use_cpu=True"
).split()


def started(backbone: Backbone, choices: Any, batch: Any, folder: Path) -> Path:
    """Save a model, export the start of a training on it, and put rows there."""
    decoders.save(backbone.model, folder / "model")
    found = replace(architecture(backbone, choices), model=str(folder / "model"))
    start = folder / "start"
    export(untrained(found, backbone, batch), "trl", start)
    numbers = torch.randint(3, 50, (8, 9), generator=torch.Generator().manual_seed(2)).tolist()
    rows = [[f"w{number}" for number in row] for row in numbers]
    texts = [{"prompt": " ".join(r[:5]), "completion": " " + " ".join(r[5:])} for r in rows]
    (start / "train.jsonl").write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
    return start


def losses(trainer: Any) -> list[float]:
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_encoder_decoder(family: str, tmp_path: Path) -> None:
    """A mixture of methods: trained by all, and every adapter comes back as it was trained."""
    backbone = wrap("test", FACTORIES[family]())
    methods = ("lora", "ia3", "layernorm", "bitfit")
    table = exporters()["trl"]
    choices = [
        c
        for c in random_choices(backbone, methods, 5)
        if not table.reason(c.method, split_id(c.site)[2], family)
    ]
    assert {c.method for c in choices} == set(methods)
    batch = inputs(backbone.model)
    start = started(backbone, choices, batch, tmp_path)
    plain = backbone.model
    trainer = trl_script.main(start, OPTIONS)
    assert type(trainer).__name__ == "Seq2SeqTrainer"
    # The model as it was: B is zero, so that the first loss is the plain model's.
    rows = [trainer.train_dataset[i] for i in range(8)]
    with torch.no_grad():
        found = [
            float(
                plain(
                    input_ids=torch.tensor([row["input_ids"]]), labels=torch.tensor([row["labels"]])
                ).loss
            )
            for row in rows
        ]
    assert min(found) <= losses(trainer)[0] <= max(found)
    before = trl_script.adapted(copy.deepcopy(plain), start / "adapter")
    after = trl_script.adapted(copy.deepcopy(plain), start / "trained")
    new = dict(after.named_parameters())
    for name, parameter in before.named_parameters():
        assert torch.equal(new[name], parameter) != parameter.requires_grad, name
    trained = trainer.model
    torch.testing.assert_close(logits_of(after, batch), logits_of(trained, batch))
    assert float((logits_of(after, batch) - logits_of(before, batch)).abs().max()) > 1e-3


def test_decoder(tmp_path: Path) -> None:
    """TRL's own trainer; its first loss is that of the plain model on the completions."""
    pytest.importorskip("trl")
    backbone = decoders.decoder()
    choices = [
        choice(backbone, "decoder.00.attention", "lora", 2, "q", "v"),
        choice(backbone, "decoder.02.feed_forward", "lora", 3, "down"),
    ]
    start = started(backbone, choices, decoders.inputs(), tmp_path)
    trainer = trl_script.main(start, [*OPTIONS, "--per_device_train_batch_size=8"])
    assert type(trainer).__name__ == "SFTTrainer"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    total, count = 0.0, 0
    for line in (start / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        ids = torch.tensor([tokenizer(row["prompt"] + row["completion"] + " </s>")["input_ids"]])
        with torch.no_grad():
            logits = backbone.model(ids).logits[0, 4:-1]
        total += float(functional.cross_entropy(logits, ids[0, 5:], reduction="sum"))
        count += ids.shape[1] - 5
    assert losses(trainer)[0] == pytest.approx(total / count, rel=1e-3)
    batch = decoders.inputs()
    after = trl_script.adapted(copy.deepcopy(backbone.model), start / "trained")
    torch.testing.assert_close(logits_of(after, batch), logits_of(trainer.model, batch))
    assert losses(trainer)[1] < losses(trainer)[0]


def test_the_script_of_the_export_is_the_one_tested(tmp_path: Path) -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    start = started(
        backbone, random_choices(backbone, ["lora"], 1), inputs(backbone.model), tmp_path
    )
    assert (start / SCRIPT).read_bytes() == Path(trl_script.__file__).read_bytes()


def test_options_come_before_the_file(tmp_path: Path) -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    start = started(
        backbone, random_choices(backbone, ["lora"], 1), inputs(backbone.model), tmp_path
    )
    _, plain = trl_script.arguments(start)
    _, given = trl_script.arguments(start, ["--learning_rate=0.5", "--max_steps=7"])
    assert (plain.learning_rate, plain.max_steps) == (0.002, -1)
    assert (given.learning_rate, given.max_steps) == (0.5, 7)
    assert Path(plain.output_dir) == start / "trained"
