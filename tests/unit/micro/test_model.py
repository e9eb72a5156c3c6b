"""The packaged micro T5: loads like any other model, and has not been taught the task."""

from __future__ import annotations

import warnings

import pytest

from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.nli import LABEL_WORDS, PROMPT, nli_rows

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

MODEL_DIR = MODEL_DIRS["micro-t5"]
NUM_ROWS = 500


@pytest.fixture(scope="module")
def tokenizer() -> object:
    return transformers.AutoTokenizer.from_pretrained(MODEL_DIR, local_files_only=True)


@pytest.fixture(scope="module")
def model() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return transformers.AutoModelForSeq2SeqLM.from_pretrained(MODEL_DIR, local_files_only=True)


def test_it_is_a_small_plain_t5(model: object) -> None:
    assert isinstance(model, transformers.T5ForConditionalGeneration)
    assert (model.config.num_layers, model.config.num_decoder_layers) == (3, 2)
    assert model.num_parameters() < 300_000
    assert sum(path.stat().st_size for path in MODEL_DIR.iterdir()) < 2_000_000


def test_rows_are_encoded_without_unknown_words(tokenizer: object) -> None:
    rows = [row for split in ("train", "validation", "test") for row in nli_rows(split)]
    encoded = tokenizer([PROMPT.format(**row) for row in rows])["input_ids"]
    assert all(tokenizer.unk_token_id not in ids for ids in encoded)
    assert all(ids[-1] == tokenizer.eos_token_id for ids in encoded)
    assert max(map(len, encoded)) <= 20
    assert [len(tokenizer(word)["input_ids"]) for word in LABEL_WORDS] == [2, 2]


def test_the_task_is_not_known_before_fine_tuning(model: object, tokenizer: object) -> None:
    rows = nli_rows("test")[:NUM_ROWS]
    inputs = tokenizer([PROMPT.format(**row) for row in rows], padding=True, return_tensors="pt")
    words = tokenizer.convert_tokens_to_ids(list(LABEL_WORDS))
    with torch.no_grad():
        start = torch.zeros(len(rows), 1, dtype=torch.long)
        logits = model(**inputs, decoder_input_ids=start).logits[:, 0, words]
    right = logits.argmax(-1) == torch.tensor([row["label"] for row in rows])
    assert 0.4 < right.float().mean() < 0.6
