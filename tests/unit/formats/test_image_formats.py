"""Images for models: pixels as transformers makes them, losses as the models' own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from peftsearch.errors import ConfigError
from peftsearch.formats import (
    ImageClassification,
    form_of,
    head_of,
    head_outputs,
    make_format,
    shelf,
)
from peftsearch.tasks import Task, get
from peftsearch.tasks.media import Media
from tests.models import FACTORIES

TASK = Task("pets", "", "image-classification", ("image",), labels=("a", "b", "c"))


def processor(size: int = 8, **more: Any) -> Any:
    return ViTImageProcessorPil(size={"height": size, "width": size}, **more)


def image_of(seed: int, size: tuple[int, int] = (9, 7)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def media_of(seed: int) -> Media:
    target = io.BytesIO()
    image_of(seed).save(target, format="PNG")
    return Media(str(seed), data=target.getvalue())


ROWS = [{"image": media_of(i), "label": i % 3} for i in range(5)]


def test_pixels_are_those_of_the_processor_on_pillow_images() -> None:
    form = make_format(TASK, processor(), FACTORIES["vit"]().config)
    assert isinstance(form, ImageClassification)
    batch = form.collate(form.features(ROWS))
    wanted = processor()(images=[image_of(i) for i in range(5)], return_tensors="pt")
    assert batch["pixel_values"].dtype == torch.float32
    assert torch.equal(batch["pixel_values"], wanted["pixel_values"])
    assert batch["labels"].tolist() == [0, 1, 2, 0, 1]
    assert (form.num_labels, form.truncated, form.terms(form.features(ROWS))) == (3, 0, 5)


def test_a_grey_model_gets_grey_images() -> None:
    grey = processor(image_mean=[0.5], image_std=[0.25])
    form = make_format(TASK, grey, FACTORIES["deit"]().config)
    found = form.collate(form.features(ROWS))["pixel_values"]
    assert found.shape == (5, 1, 8, 8)
    first = np.asarray(image_of(0).convert("L").resize((8, 8), Image.Resampling.BILINEAR))
    wanted = (torch.tensor(first.astype(np.float32)) / 255 - 0.5) / 0.25
    assert torch.allclose(found[0, 0], wanted, atol=1e-6)


def test_with_and_without_room_the_pixels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    config = FACTORIES["vit"]().config
    kept = make_format(TASK, processor(), config)
    monkeypatch.setattr(shelf, "ROOM", 2 * 3 * 8 * 8 * 4)  # two images
    some = make_format(TASK, processor(), config)
    for _ in range(2):
        first, second = (f.collate(f.features(ROWS))["pixel_values"] for f in (kept, some))
        assert torch.equal(first, second)
    assert len(some._pixels._shelf) == 2  # type: ignore[attr-defined]
    assert len(kept._pixels._shelf) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", ["vit", "deit", "swin"])
def test_the_loss_is_the_models_own(family: str) -> None:
    model = FACTORIES[family]()
    grey = {"image_mean": [0.5], "image_std": [0.5]} if family == "deit" else {}
    form = make_format(TASK, processor(**grey), model.config)
    batch = form.collate(form.features(ROWS))
    with torch.no_grad():
        own = model(**batch)
        assert torch.allclose(form.loss(model, batch), own.loss, atol=1e-6)
    said, loss = form.assess(model, batch)
    assert list(said) == list(form.predict(model, batch)) == own.logits.argmax(1).tolist()
    assert loss == pytest.approx(float(own.loss), rel=1e-5)


def test_what_the_processor_makes_must_fit_the_model() -> None:
    form = make_format(TASK, processor(size=16), FACTORIES["vit"]().config)
    with pytest.raises(ConfigError, match="of 8 x 8 pixels, and its image processor makes them 16"):
        form.collate(form.features(ROWS))
    config = FACTORIES["vit"]().config
    config.num_channels = 4
    with pytest.raises(ConfigError, match="images of 4 channels"):
        make_format(TASK, processor(), config)


def test_which_models_are_asked() -> None:
    for family in ("vit", "swin", "bart", "llama"):
        config = FACTORIES[family]().config
        assert form_of(TASK, config) == "head"
        assert head_outputs(TASK, config) == 3
    assert head_of(TASK) == "image"
    with pytest.raises(ConfigError, match='"text" is not to be had'):
        form_of(TASK, FACTORIES["vit"]().config, "text")


@pytest.mark.parametrize("family", ["bert", "t5", "gpt2"])
def test_a_model_of_texts_is_refused(family: str, tmp_path: Path) -> None:
    from peftsearch.backbones.loading import load_backbone, sketch_backbone

    FACTORIES[family]().config.save_pretrained(tmp_path)
    for load in (load_backbone, sketch_backbone):
        with pytest.raises(ConfigError, match=f'type "{family}" cannot answer with what') as caught:
            load(str(tmp_path), 3, head="image")
        assert "--model google/vit" in caught.value.hint


def test_a_model_of_images_is_refused_for_texts(tmp_path: Path) -> None:
    from peftsearch.backbones.loading import sketch_backbone

    FACTORIES["vit"]().config.save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match='type "vit" cannot answer') as caught:
        sketch_backbone(str(tmp_path), 2, head=head_of(get("rte")))
    assert "--task image-classification" in caught.value.hint
