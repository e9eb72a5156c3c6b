"""What ``apply`` prepares, ``transformers.Trainer`` trains like any model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

import peftsearch
from peftsearch import testing
from peftsearch.backbones.base import is_inserted, wrap
from tests.models import FACTORIES, inputs

METHODS = ("lora", "adapter", "prefix", "bitfit", "layernorm", "ia3", "parallel_adapter")


def _rows(model: Any) -> list[dict[str, torch.Tensor]]:
    batch = inputs(model, rows=8)
    seq2seq = model.config.is_encoder_decoder
    labels = batch.pop("decoder_input_ids")[:, 1:] if seq2seq else torch.arange(8) % 3
    batch["labels"] = labels
    return [{name: tensor[i] for name, tensor in batch.items()} for i in range(8)]


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_trainer(family: str, tmp_path: Path) -> None:
    model = FACTORIES[family]()
    backbone = wrap("test", model)
    # Two methods at each site, so that all meet on the same modules.
    choices = [c for name in METHODS for c in testing.choices_for(backbone, name, 2)]
    kind = type(model)
    peftsearch.apply(model, testing.architecture_of(backbone, choices))
    assert type(model) is kind
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    settings = TrainingArguments(
        output_dir=str(tmp_path / "trainer"),
        max_steps=12,
        per_device_train_batch_size=8,
        learning_rate=5e-3,
        lr_scheduler_type="constant",
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(model=model, args=settings, train_dataset=_rows(model))
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.8 * losses[0]
    for name, parameter in model.named_parameters():
        changed = not torch.equal(parameter, before[name])
        assert changed == (is_inserted(name) or name.startswith("classifier")), name
    batch, logits = inputs(model), testing.logits(model, inputs(model))
    model.save_pretrained(tmp_path / "whole")
    assert (tmp_path / "whole" / "model.safetensors").is_file()
    peftsearch.save(model, tmp_path / "adapter")
    loaded = peftsearch.load(tmp_path / "adapter", FACTORIES[family]())
    assert torch.equal(testing.logits(loaded, batch), logits)


@pytest.mark.parametrize("family", ["t5_v1_1", "bart", "bert"])
def test_the_backbone_of_a_saved_model_loads_alone(family: str, tmp_path: Path) -> None:
    """The backbone's parameters keep their names, so its checkpoint is the plain one."""
    model = FACTORIES[family]()
    plain = testing.logits(model, inputs(model))
    backbone = wrap("test", model)
    peftsearch.apply(
        model, testing.architecture_of(backbone, testing.choices_for(backbone, "lora"))
    )
    testing.draw(model.peftsearch_insertions)
    model.save_pretrained(tmp_path)
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        again = type(model).from_pretrained(tmp_path)
    finally:
        logging.set_verbosity(verbosity)
    assert torch.equal(testing.logits(again, inputs(again)), plain)


@pytest.mark.parametrize("family", ["t5", "bart", "mbart"])
def test_generate_works_on_an_applied_model(family: str) -> None:
    model = FACTORIES[family]()
    backbone = wrap("test", model)
    choices = [c for n in ("lora", "prefix") for c in testing.choices_for(backbone, n, 2)]
    batch = {k: v for k, v in inputs(model).items() if k != "decoder_input_ids"}
    before = model.generate(**batch, max_new_tokens=5, do_sample=False)
    peftsearch.apply(model, testing.architecture_of(backbone, choices))
    testing.draw(model.peftsearch_insertions, std=1.0)
    after = model.generate(**batch, max_new_tokens=5, do_sample=False)
    assert before.shape != after.shape or not torch.equal(before, after)
    peftsearch.unapply(model)
    assert torch.equal(model.generate(**batch, max_new_tokens=5, do_sample=False), before)
