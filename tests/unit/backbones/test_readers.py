"""What reads rows is loaded with the backbone, and a head for other labels is no obstacle."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from peftsearch.backbones.base import head_kind
from peftsearch.backbones.loading import load_backbone, load_reader, sketch_backbone
from peftsearch.errors import ConfigError, MissingError
from tests.models import FACTORIES, KIN


def stored(family: str, folder: Path, **settings: Any) -> Any:
    model = {**FACTORIES, **KIN}[family](**settings)
    model.save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", ["vit", "deit", "deit_distilled", "swin"])
def test_a_checkpoint_with_a_head_for_other_labels(family: str, tmp_path: Path) -> None:
    """As checkpoints for ImageNet are: what they know stays, and the head is drawn."""
    model = stored(family, tmp_path, num_labels=7)
    backbone = load_backbone(str(tmp_path), 3, head="image")
    assert isinstance(backbone.reader, ViTImageProcessorPil)
    assert head_kind(backbone.model) == "image"
    heads = [name for name, _ in model.named_parameters() if "classifier" in name]
    for name, parameter in backbone.model.named_parameters():
        if name in heads:
            assert parameter.shape[0] == 3
            assert parameter.requires_grad
        else:
            assert torch.equal(parameter, dict(model.named_parameters())[name])
            assert not parameter.requires_grad
    sketched = sketch_backbone(str(tmp_path), 3, head="image")
    assert sketched.num_parameters == backbone.num_parameters
    assert sketched.num_head_parameters == backbone.num_head_parameters > 0


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    model = stored("vit", tmp_path)
    model.config.intermediate_size = 48
    model.config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"no weights for vit\.layers\.0\.mlp\.fc1\.bias"):
        load_backbone(str(tmp_path), 3, head="image")


def test_drop_path_is_a_dropout(tmp_path: Path) -> None:
    stored("swin", tmp_path, drop_path_rate=0.5)
    backbone = load_backbone(str(tmp_path), 3, head="image", dropout=0.0)
    rates = [m.p for m in backbone.model.modules() if isinstance(m, torch.nn.Dropout)]
    assert set(rates) == {0.0}
    assert "DropPath" not in {type(m).__name__[4:] for m in backbone.model.modules()}


def test_a_processor_that_needs_what_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*names: Any, **options: Any) -> Any:
        raise ImportError("torchvision")

    monkeypatch.setattr(transformers.AutoImageProcessor, "from_pretrained", absent)
    with pytest.raises(MissingError, match="needs a package that is not installed") as caught:
        load_reader(str(tmp_path), "image")
    assert caught.value.hint == "pip install torchvision"


def test_no_torchvision_is_needed(tmp_path: Path) -> None:
    stored("vit", tmp_path)
    load_reader(str(tmp_path), "image")
    assert "torchvision" not in sys.modules
