"""Pairs of image and text: losses as the models' own, ranks by plain counting."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPProcessor, SiglipProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError, DivergedError
from peftsearch.formats import ImageTextRetrieval, head_of, head_outputs, make_format
from peftsearch.formats.image_text_retrieval import pair_loss, ranks
from peftsearch.formats.pairs_apart import pairs_apart
from peftsearch.tasks import METRICS, Task, score
from peftsearch.tasks.answers import Embedded, Pair, constant_predictions, settled
from peftsearch.tasks.media import Media
from tests.models import FACTORIES
from tests.pipeline.material import WORDS, _tokenizer

TASK = Task("captions", "", "image-text-retrieval", ("image", "text"), "text")
FAMILIES = ("clip", "siglip")


def processor(family: str) -> Any:
    size = {"height": 8, "width": 8}
    tokenizer = _tokenizer("<cls> $A </s>", "<cls> $A </s> $B:1 </s>:1")
    tokenizer.model_max_length = 12
    if family == "siglip":
        return SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer)
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=size)
    return CLIPProcessor(images, tokenizer)


def model_of(family: str) -> Any:
    """Return a model whose text tower ends at the tokenizer's end token."""
    model = FACTORIES[family]()
    model.config.text_config.eos_token_id = 1
    if family == "clip":
        model.text_model.eos_token_id = 1
    return model


def media_of(seed: int) -> Media:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, format="PNG")
    return Media(str(seed), data=target.getvalue())


def rows_of(count: int) -> list[dict[str, Any]]:
    return [
        {"image": media_of(i), "text": " ".join(WORDS[i : i + 2 + i % 3])} for i in range(count)
    ]


def made(family: str) -> tuple[ImageTextRetrieval, Any, dict[str, torch.Tensor]]:
    model = model_of(family)
    form = make_format(TASK, processor(family), model.config)
    assert isinstance(form, ImageTextRetrieval)
    return form, model, form.collate(form.features(rows_of(6)))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_models_own(family: str) -> None:
    form, model, batch = made(family)
    assert not batch["also_right"].any()
    arguments = {name: tensor for name, tensor in batch.items() if name != "also_right"}
    with torch.no_grad():
        own = model(**arguments, return_loss=True)
        assert torch.allclose(form.loss(model, batch), own.loss, rtol=1e-5)
    said, loss = form.assess(model, batch)
    assert loss == pytest.approx(float(own.loss), rel=1e-5)
    again = form.predict(model, batch)
    for i, (one, two) in enumerate(zip(said, again, strict=True)):
        assert np.array_equal(one.image, two.image)
        assert np.allclose(one.text, own.text_embeds[i], atol=1e-6)
    found = form.settle(said, [Pair(str(i), str(i)) for i in range(6)])
    for i, (text_rank, image_rank) in enumerate(found):
        scores = own.logits_per_image
        assert text_rank == 1 + int((scores[i] > scores[i, i]).sum())
        assert image_rank == 1 + int((scores[:, i] > scores[i, i]).sum())


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_embedded_alike_whatever_it_is_padded_with(family: str) -> None:
    form, model, _ = made(family)
    rows = [*rows_of(3), {"image": media_of(9), "text": " ".join(WORDS[:9])}]
    features = form.features(rows)
    together = form.predict(model, form.collate(features))
    for feature, wanted in zip(features, together, strict=True):
        (alone,) = form.predict(model, form.collate([feature]))
        assert np.allclose(alone.text, wanted.text, atol=1e-5)
        assert np.allclose(alone.image, wanted.image, atol=1e-5)


def test_siglip_has_all_places_filled_as_its_processor_does() -> None:
    form, _, batch = made("siglip")
    texts = [row["text"] for row in rows_of(6)]
    wanted = processor("siglip")(
        text=texts, padding="max_length", max_length=12, return_tensors="pt"
    )
    assert torch.equal(batch["input_ids"], wanted["input_ids"])
    assert made("clip")[2]["input_ids"].shape[1] < 12
    cut = form.features([{"image": media_of(0), "text": "the " * 30}])
    assert (len(cut[0].inputs["input_ids"]), form.truncated, form.max_length) == (12, 1, 12)


@pytest.mark.parametrize(("parts", "devices"), [(4, 1), (1, 2), (2, 2)])
def test_a_batch_in_parts_is_said(parts: int, devices: int) -> None:
    config = replace(RunConfig(), accumulation=parts, devices=devices)
    (text,) = pairs_apart(TASK, config)
    assert f"in {parts * devices} parts" in text
    assert pairs_apart(TASK, RunConfig()) == []
    assert pairs_apart(replace(TASK, kind="classification"), config) == []


def test_rows_of_other_parts_are_other_losses() -> None:
    """What is said is true: losses of halves are not that of the whole batch."""
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    nothing = torch.zeros(4, 4, dtype=torch.bool)
    whole = pair_loss(logits, nothing, False)
    halves = [pair_loss(logits[s, s], nothing[s, s], False) for s in (slice(2), slice(2, 4))]
    assert sum(halves) / 2 < whole


def test_rows_with_the_same_image_or_text_are_no_wrong_pairs() -> None:
    form, _, _ = made("clip")
    rows = rows_of(4)
    rows[2]["image"], rows[3]["text"] = rows[0]["image"], rows[1]["text"]
    batch = form.collate(form.features(rows))
    wanted = torch.zeros(4, 4, dtype=torch.bool)
    for i, j in ((0, 2), (1, 3)):
        wanted[i, j] = wanted[j, i] = True
    assert torch.equal(batch["also_right"], wanted)


@pytest.mark.parametrize("alone", [False, True])
def test_the_loss_by_hand(alone: bool) -> None:
    logits = torch.randn(4, 4)
    also = torch.zeros(4, 4, dtype=torch.bool)
    also[0, 2] = also[2, 0] = True
    left = [(i, j) for i in range(4) for j in range(4) if not also[i, j]]
    total = 0.0
    if alone:
        for i, j in left:
            total -= float(torch.nn.functional.logsigmoid(logits[i, j] * (1 if i == j else -1)))
        total /= 4
    else:
        for matrix, i in itertools.product((logits, logits.t()), range(4)):
            row = torch.stack([matrix[i, j] for j in range(4) if (i, j) in left])
            total += float(torch.logsumexp(row, 0) - matrix[i, i]) / 8
    assert float(pair_loss(logits, also, alone)) == pytest.approx(total, rel=1e-5)


@given(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
            st.lists(st.integers(0, 3), min_size=n, max_size=n),
            st.lists(st.tuples(*[st.integers(-2, 2)] * 4), min_size=n, max_size=n),
        )
    )
)
def test_ranks_by_counting(drawn: tuple[list[int], list[int], list[tuple[int, ...]]]) -> None:
    """Small whole numbers, so that ties and equal images and texts are frequent."""
    images, texts, numbers = drawn
    references = [Pair(f"i{a}", f"t{b}") for a, b in zip(images, texts, strict=True)]
    said = [
        Embedded(np.array(x[:2], dtype=np.float32), np.array(x[2:], dtype=np.float32))
        for x in numbers
    ]

    def rank(i: int, flip: bool) -> int:
        def score_of(j: int) -> float:
            a, b = (said[j], said[i]) if flip else (said[i], said[j])
            return float(a.image @ b.text)

        right = [j for j in range(len(said)) if images[i] == images[j] or texts[i] == texts[j]]
        best = max(score_of(j) for j in right)
        return 1 + sum(score_of(j) >= best for j in range(len(said)) if j not in right)

    assert ranks(said, references) == [(rank(i, False), rank(i, True)) for i in range(len(said))]


def test_a_model_that_says_the_same_of_everything_finds_nothing() -> None:
    references = [Pair(str(i), str(i)) for i in range(30)]
    same = [Embedded(np.ones(3, np.float32), np.ones(3, np.float32))] * 30
    assert ranks(same, references) == [(30, 30)] * 30
    with pytest.raises(DivergedError):
        ranks([replace(same[0], text=np.full(3, np.nan, np.float32))], references[:1])


def test_recall() -> None:
    references = [Pair(str(i), str(i)) for i in range(4)]
    said = [(1, 11), (2, 5), (6, 1), (1, 10)]
    found = score(tuple(name for name in METRICS if "recall" in name), references, said)
    assert found == {
        "mean_recall": pytest.approx((0.5 + 0.75 + 1 + 0.25 + 0.5 + 0.75) / 6),
        "image_to_text_recall_1": 0.5,
        "image_to_text_recall_5": 0.75,
        "image_to_text_recall_10": 1.0,
        "text_to_image_recall_1": 0.25,
        "text_to_image_recall_5": 0.5,
        "text_to_image_recall_10": 0.75,
    }
    (chance,) = constant_predictions(references)
    assert score(("image_to_text_recall_1",), references, chance)["image_to_text_recall_1"] == 0.25
    assert settled(object(), said, references) is said
    with pytest.raises(ConfigError, match='"accuracy" is not for pairs'):
        score(("accuracy",), references, said)


def test_no_head_is_needed() -> None:
    assert (head_of(TASK), head_outputs(TASK, model_of("clip").config)) == ("pair", 0)
    assert TASK.reference({"image": media_of(3), "text": "a"}) == Pair("3", "a")
