"""Pretrain the built-in micro BERT and write it where the package looks for it.

Builds a word-level tokenizer and a ``BertForMaskedLM`` from nothing, trains it on the generated
text of ``peftsearch.micro.corpus`` and saves both in the plain Hugging Face layout, 0.9 MB. One
thread, every seed fixed: the same versions on the same kind of processor give the same weights.

    python scripts/pretrain_micro_bert.py --out peftsearch/micro/bert --seed 0

Every example is a masked-word problem: words of a sentence are predicted where they are masked,
the polarity of a slot where the slot stands, and an answer of one word at [CLS], where a classifier
reads it. Judgements alone are asked for at a [MASK] behind the text: with them at [CLS] too, in a
trial of 4,600 steps, a head alone got 81 % of the task (one seed), and little was left to learn.

Takes 3,400 steps. Run again on the machine that made the packaged weights, it gives the same
files bit for bit. What fine-tuning makes of them is measured by ``benchmarks/micro_figures.py``
with ``--model micro-bert``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pretraining as shared
import torch
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast
from transformers.models.bert.modeling_bert import BertPooler

from peftsearch.micro.corpus import Example
from peftsearch.micro.sentences import QUANTIFIERS

SCHEDULE = (
    ("a", 1000, 3e-3),
    ("b", 1600, 3e-3),
    ("d", 800, 2e-3),
)
"""Stage, steps and peak learning rate."""

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONG = 14
"""More tokens than this, and an example goes into another batch than the short ones."""

_NO_SLOT = {"don't", *(word for quantifier in QUANTIFIERS for word in quantifier.split())}
JUDGEMENT = "forward"
_GENERATED = ("weaken", "strengthen")
"""Prompts that are answered by a whole sentence, which an encoder cannot write."""

Pair = tuple[str, str]
"""A token, and the word to predict in its place ("" where nothing is asked)."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word, BERT's five special ones first."""
    template = TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in (CLS, SEP)],
    )
    return shared.word_tokenizer(
        SPECIAL,
        template,
        pad_token=PAD,
        unk_token=UNK,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def build_model(vocab_size: int) -> BertForMaskedLM:
    """Return an untrained micro BERT: 4 layers of width 64."""
    config = BertConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=shared.MODEL_MAX_LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.05,
        pad_token_id=SPECIAL.index(PAD),
    )
    return BertForMaskedLM(config)


def problem(example: Example) -> list[Pair]:
    """Return an example as tokens with what is to be predicted there.

    The form is that of the T5's: one text that opens with the prompt, "|" between two sentences.
    The task's [SEP] in the midst, its second token type and its lack of a prompt are new.
    """
    source, target = example
    kind, *words = source.split()
    if kind == "fill":
        return [(CLS, ""), (kind, ""), *_masked(words, target), (SEP, "")]
    if kind == "polarity":
        return [(CLS, ""), (kind, ""), *_tagged(words, target), (SEP, "")]
    text = [(kind, ""), *((word, "") for word in words)]
    if kind == JUDGEMENT:
        return [(CLS, ""), *text, (MASK, target), (SEP, "")]
    return [(CLS, target), *text, (SEP, "")]


def _masked(words: Sequence[str], target: str) -> Iterator[Pair]:
    """Put as many masks for each sentinel as the target has words after it."""
    spans = iter(re.split(r"<\w+>", target)[1:])
    for word in words:
        if word.startswith("<"):
            yield from ((MASK, hidden) for hidden in next(spans).split())
        else:
            yield word, ""


def _tagged(words: Sequence[str], target: str) -> Iterator[Pair]:
    """Ask for the polarity of each slot where the slot stands."""
    answers = iter(target.split())
    for word in words:
        yield word, "" if word in _NO_SLOT else next(answers)


def batches(
    tokenizer: PreTrainedTokenizerFast, pool: Sequence[Example], seed: int
) -> Iterator[shared.Batch]:
    """Yield batches without end, long and short examples apart."""
    ids: dict[str, int] = tokenizer.get_vocab()
    problems = [problem(example) for example in pool]
    inputs = shared.padded([[ids[token] for token, _ in pairs] for pairs in problems], ids[PAD])
    labels = shared.padded(
        [[ids.get(word, shared.IGNORED) for _, word in pairs] for pairs in problems], shared.IGNORED
    )
    for index in shared.batches_of((inputs != ids[PAD]).sum(1) > LONG, seed):
        tokens = shared.cut(inputs[index], ids[PAD])
        yield {
            "input_ids": tokens,
            "attention_mask": (tokens != ids[PAD]).long(),
            "labels": labels[index][:, : tokens.shape[1]].contiguous(),
        }


def add_pooler(model: BertForMaskedLM) -> None:
    """Give the model the pooler that a classifier reads: here the tanh of [CLS] and no more.

    Masked-word pretraining has none, and a classifier's would be drawn at random and stay frozen.
    """
    pooler = BertPooler(model.config)
    torch.nn.init.eye_(pooler.dense.weight)
    torch.nn.init.zeros_(pooler.dense.bias)
    model.bert.pooler = pooler


def pretrain(out: Path, seed: int) -> None:
    """Build, train and save model and tokenizer."""
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer))
    shared.train(model, SCHEDULE, partial(batches, tokenizer), seed, without=_GENERATED)
    add_pooler(model)
    shared.save(model, tokenizer, out)


if __name__ == "__main__":
    shared.run("micro-bert", pretrain)
