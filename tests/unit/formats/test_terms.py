"""The loss of a batch is the mean of the losses of its parts, each by as many terms as it has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from peftsearch.formats import make_format
from peftsearch.tasks import Row, Task, get
from tests.unit.formats.decoder_material import TEMPLATE, byte_tokenizer, decoder
from tests.unit.formats.test_causal import CHAT, LM, ROWS, TALK, chat
from tests.unit.formats.test_encoder_formats import (
    ASKED,
    COPA,
    EXTRACTION,
    RECORD,
    TAGGED,
    TAGGING,
    bert,
)
from tests.unit.formats.test_formats import t5

SHORT_TALK = chat(("user", "hm"), ("assistant", "o"))
TEXTS: list[Row] = [{"text": "a longer text than"}, {"text": "this"}]


def _of_decoder() -> tuple[Any, Any]:
    return byte_tokenizer(template=TEMPLATE), decoder()


@pytest.mark.parametrize(
    ("task", "rows", "kind"),
    [
        (get("copa"), COPA, "choice"),
        (TAGGING, TAGGED, "tagging"),
        (EXTRACTION, ASKED, "extraction"),
        (get("rte"), ROWS, "t5"),
        (
            get("record"),
            [RECORD[0], {**RECORD[1], "answers": ["q w"], "entities": ["q w", "a"]}],
            "t5",
        ),
        (get("rte"), ROWS, "decoder"),
        (
            get("record"),
            [RECORD[0], {**RECORD[1], "answers": ["q w"], "entities": ["q w", "a"]}],
            "decoder",
        ),
        (LM, TEXTS, "decoder"),
        (CHAT, [TALK, SHORT_TALK], "decoder"),
    ],
)
def test_parts_make_the_whole(task: Task, rows: Sequence[Row], kind: str) -> None:
    if kind == "decoder":
        tokenizer, model = _of_decoder()
    elif kind == "t5":
        tokenizer, model = t5()
    else:
        tokenizer, model = bert(kind, 3 if kind == "tagging" else 2 if kind == "extraction" else 1)
    form = make_format(task, tokenizer, model.config)
    features = list(form.features(rows))
    parts = [features[:1], features[1:]]
    counts = [form.terms(part) for part in parts]
    assert sum(counts) == form.terms(features)
    if kind not in ("choice",):
        assert counts[0] != counts[1], "parts of equal size would hide a wrong weight"
    with torch.no_grad():
        whole = float(form.loss(model, form.collate(features)))
        losses = [float(form.loss(model, form.collate(part))) for part in parts]
    mean = sum(c * loss for c, loss in zip(counts, losses, strict=True)) / sum(counts)
    assert mean == pytest.approx(whole, rel=1e-5)
