"""What ``apply`` prepares, ``transformers.Trainer`` trains like any model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
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
    whole = peftsearch.load(tmp_path / "whole", FACTORIES[family]())
    assert torch.equal(testing.logits(whole, batch), logits)
    peftsearch.save(model, tmp_path / "adapter")
    loaded = peftsearch.load(tmp_path / "adapter", FACTORIES[family]())
    assert torch.equal(testing.logits(loaded, batch), logits)


@pytest.mark.parametrize("size", ["5GB", "10KB"])
@pytest.mark.parametrize("family", FACTORIES)
def test_a_saved_model_is_the_plain_backbone(family: str, size: str, tmp_path: Path) -> None:
    """Byte for byte what transformers writes of the model without layers, ties and shards too."""
    model = FACTORIES[family]()
    model.save_pretrained(tmp_path / "plain", max_shard_size=size)
    plain = testing.logits(model, inputs(model))
    _applied(model)
    wanted = testing.logits(model, inputs(model))
    model.save_pretrained(tmp_path / "saved", max_shard_size=size)
    for path in (tmp_path / "plain").iterdir():
        assert (tmp_path / "saved" / path.name).read_bytes() == path.read_bytes(), path.name
    again, report = type(model).from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not any(report.values()), report
    assert torch.equal(testing.logits(again, inputs(again)), plain)
    tied = {tensor.data_ptr() for tensor in model.state_dict().values()}
    assert len({tensor.data_ptr() for tensor in again.state_dict().values()}) <= len(tied)
    loaded = peftsearch.load(tmp_path / "saved", again, check=True)
    assert torch.equal(testing.logits(loaded, inputs(loaded)), wanted)


def _applied(model: Any) -> Any:
    """Put several methods on a model, with weights as if trained."""
    backbone = wrap("test", model)
    choices = [
        c
        for name in ("lora", "prefix", "layernorm")
        for c in testing.choices_for(backbone, name, 2)
    ]
    peftsearch.apply(model, testing.architecture_of(backbone, choices))
    testing.draw(model.peftsearch_insertions)
    return model


@pytest.mark.parametrize("family", ["t5", "bert"])
def test_the_folder_alone_is_enough(family: str, tmp_path: Path) -> None:
    """Its backbone is in it, so the name it was found on need not lead anywhere."""
    model = _applied(FACTORIES[family]())
    wanted = testing.logits(model, inputs(model))
    model.save_pretrained(tmp_path)
    assert torch.equal(testing.logits(peftsearch.load(tmp_path), inputs(model)), wanted)


def test_a_checkpoint_of_trainer_holds_all_tensors(tmp_path: Path) -> None:
    """Trainer puts them back by itself; nothing else has its folders' names."""
    model = _applied(FACTORIES["t5"]())
    for name, inserted in (("checkpoint-12", True), ("checkpoint-x", False), ("mine", False)):
        model.save_pretrained(tmp_path / name)
        keys = load_file(tmp_path / name / "model.safetensors").keys()
        assert any(is_inserted(key) for key in keys) == inserted
        assert (tmp_path / name / "native.json").is_file() != inserted


def test_saving_follows_the_model(tmp_path: Path) -> None:
    """A copy saves itself, and what was taken off is no longer written."""
    model = _applied(FACTORIES["bert"]())
    twin = copy.deepcopy(model)
    testing.draw(twin.peftsearch_insertions, seed=9)
    twin.save_pretrained(tmp_path / "twin")
    loaded = peftsearch.load(tmp_path / "twin", FACTORIES["bert"]())
    batch = inputs(model)
    assert torch.equal(testing.logits(loaded, batch), testing.logits(twin, batch))
    assert not torch.equal(testing.logits(loaded, batch), testing.logits(model, batch))
    peftsearch.unapply(model)
    model.save_pretrained(tmp_path / "plain")
    assert not (tmp_path / "plain" / "native.json").exists()


def test_tensors_that_are_handed_in(tmp_path: Path) -> None:
    """As by trainers whose model cannot give them itself: the layers' are left out as well."""
    model = _applied(FACTORIES["bert"]())
    tensors = {name: tensor + 1 for name, tensor in model.state_dict().items()}
    model.save_pretrained(tmp_path, state_dict=tensors)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored.keys() == {name for name in tensors if not is_inserted(name)}
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in stored.items())


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
