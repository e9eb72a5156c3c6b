"""Pretrain the built-in micro T5 and write it where the package looks for it.

Builds a word-level tokenizer and a ``T5ForConditionalGeneration`` from nothing, trains it on the
generated text of ``peftsearch.micro.corpus`` (stages A to D) and saves both in the plain Hugging
Face layout, 1.2 MB. One thread, every seed fixed: the same versions on the same kind of processor
give the same weights.

    python scripts/pretrain_micro_t5.py --out peftsearch/micro/t5 --seed 0

Takes 13,500 steps of 40 to 80 ms on one core, so 10 to 18 minutes. Run again on the machine that
made the packaged weights, it gives the same files bit for bit. What fine-tuning makes of them is
measured by ``benchmarks/micro_figures.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pretraining as shared
import torch
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from peftsearch.micro.corpus import NUM_SENTINELS, Example, sentinel

SCHEDULE = (
    ("a", 3000, 3e-3),
    ("b", 5000, 3e-3),
    ("c", 2500, 2e-3),
    ("d", 1500, 2e-3),
    ("d", 1500, 2e-3),
)
"""Stage, steps and peak learning rate."""

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
SENTINELS = [sentinel(i) for i in range(NUM_SENTINELS)]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word: pad 0, end 1, unknown 2, sentinels, words."""
    template = TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
    )
    return shared.word_tokenizer(
        [PAD, EOS, UNK, *SENTINELS],
        template,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=SENTINELS,
    )


def build_model(vocab_size: int) -> T5ForConditionalGeneration:
    """Return an untrained micro T5: 3 encoder and 2 decoder layers of width 64."""
    config = T5Config(
        vocab_size=vocab_size,
        d_model=64,
        d_kv=16,
        d_ff=256,
        num_layers=3,
        num_decoder_layers=2,
        num_heads=4,
        relative_attention_num_buckets=16,
        relative_attention_max_distance=32,
        dropout_rate=0.0,
        feed_forward_proj="relu",
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    return T5ForConditionalGeneration(config)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pad: int) -> torch.Tensor:
    """Return token ids of shape (number of texts, longest), padded with ``pad``, int64."""
    ids: dict[str, int] = tokenizer.get_vocab()
    return shared.padded([[ids[token] for token in (*text.split(), EOS)] for text in texts], pad)


def batches(
    tokenizer: PreTrainedTokenizerFast, pool: Sequence[Example], seed: int
) -> Iterator[shared.Batch]:
    """Yield batches without end; one holds either one-word answers or longer targets."""
    sources = encode(tokenizer, [source for source, _ in pool], pad=0)
    targets = encode(tokenizer, [target for _, target in pool], pad=shared.IGNORED)
    for index in shared.batches_of((targets != shared.IGNORED).sum(1) > 2, seed):
        source = shared.cut(sources[index], 0)
        yield {
            "input_ids": source,
            "attention_mask": (source != 0).long(),
            "labels": shared.cut(targets[index], shared.IGNORED).contiguous(),
            "use_cache": False,
        }


def pretrain(out: Path, seed: int) -> None:
    """Build, train and save model and tokenizer."""
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    shared.train(model, SCHEDULE, partial(batches, tokenizer), seed)
    shared.save(model, tokenizer, out, additional_special_tokens=SENTINELS)


if __name__ == "__main__":
    shared.run("micro-t5", pretrain)
