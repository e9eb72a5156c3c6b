"""What serving engines make of exports, where one is installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from peftsearch.backbones.loading import load_backbone
from peftsearch.export.writing import export
from tests.unit.export.material import bundle_of, random_choices


@pytest.mark.filterwarnings("ignore")  # of the engine's converter
def test_ctranslate2_serves_a_merged_t5(tmp_path: Path) -> None:
    """Its log-probabilities of given answers, which are not those of the plain backbone."""
    engine = pytest.importorskip("ctranslate2")
    backbone = load_backbone("micro-t5", 2)
    methods = ["lora", "ia3", "layernorm"]
    export(
        bundle_of(backbone, random_choices(backbone, methods, 0), 0.05), "merged", tmp_path / "x"
    )
    engine.converters.TransformersConverter(str(tmp_path / "x")).convert(str(tmp_path / "served"))
    merged = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "x").eval()
    tokenizer = backbone.reader
    asked = tokenizer("forward all dogs munch so no animals munch")["input_ids"]
    answer = tokenizer("minus dogs")["input_ids"]
    words = tokenizer.convert_ids_to_tokens
    served = engine.Translator(str(tmp_path / "served"), compute_type="float32")
    (found,) = served.score_batch([words(asked)], [words(answer[:-1])])

    def scores(model: torch.nn.Module) -> torch.Tensor:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([asked]), labels=torch.tensor([answer])).logits
        return logits.log_softmax(-1)[0, range(len(answer)), answer]  # type: ignore[no-any-return]

    torch.testing.assert_close(torch.tensor(found.log_probs), scores(merged), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(scores(backbone.model), scores(merged), atol=1e-3)
