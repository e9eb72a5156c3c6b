"""What the pretraining scripts of the built-in models share: tokenizer, order, loop, files.

Imported by ``pretrain_micro_t5.py`` and ``pretrain_micro_bert.py`` beside it; does nothing alone.
One thread and every seed fixed, so that a run can be repeated bit for bit.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from peftsearch.micro import MODEL_DIRS
from peftsearch.micro.corpus import Example, examples, vocabulary

_LOG = logging.getLogger("pretraining")

Batch = dict[str, Any]
"""Arguments of a model's forward pass, labels among them."""

Stage = tuple[str, int, float]
"""Stage of the corpus, steps and peak learning rate."""

BATCH_SIZE = 64
WARM_UP = 100
LOG_EVERY = 250
POOL_SIZE = 100_000
"""Distinct examples per stage; they are walked through in a new order each time."""

MODEL_MAX_LENGTH = 64
IGNORED = -100


def word_tokenizer(
    special: Sequence[str], template: TemplateProcessing, **names: Any
) -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word: the special ones first, then the vocabulary.

    Args:
        special: tokens with the ids from 0.
        template: what is put around one text, and around two.
        names: which token is ``unk_token``, ``pad_token`` and so on.
    """
    tokens = [*special, *vocabulary()]
    ids = {token: i for i, token in enumerate(tokens)}
    backend = Tokenizer(WordLevel(ids, unk_token=names["unk_token"]))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = template
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_max_length=MODEL_MAX_LENGTH, **names
    )


def padded(rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Return rows as one tensor of shape (number of rows, longest), padded, int64."""
    width = max(len(row) for row in rows)
    return torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])


def cut(rows: torch.Tensor, pad: int) -> torch.Tensor:
    """Return padded rows without the columns that are padding in all: they only cost time."""
    return rows[:, : int((rows != pad).sum(1).max())]


def batches_of(is_long: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    """Yield the places of the examples of each batch without end, each pass in a new order.

    One batch holds either short or long examples: mixed, the few long ones would make the model
    work on padding for all the others.

    Args:
        is_long: for each example of the pool, whether it counts as long, shape (pool size,).
        seed: of the order.
    """
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(is_long), generator=generator)
        cut = [
            *torch.split(order[is_long[order]], BATCH_SIZE),
            *torch.split(order[~is_long[order]], BATCH_SIZE),
        ]
        for index in torch.randperm(len(cut), generator=generator).tolist():
            yield cut[index]


def train(
    model: PreTrainedModel,
    schedule: Sequence[Stage],
    batches: Callable[[Sequence[Example], int], Iterator[Batch]],
    seed: int,
    without: tuple[str, ...] = (),
) -> None:
    """Train all weights through the stages, each with an optimiser of its own.

    Args:
        model: trained in place, left in evaluation mode.
        schedule: the stages in order.
        batches: returns the endless batches of a pool of examples, given a seed.
        seed: of text and order.
        without: beginnings of the examples to leave out.
    """
    _LOG.info("%d parameters", model.num_parameters())
    start = time.perf_counter()
    model.train()
    for stage, steps, peak_lr in schedule:
        _LOG.info("stage %s", stage)
        asked = (each for each in examples(stage, seed) if not each[0].startswith(without))
        pool = list(itertools.islice(asked, POOL_SIZE))
        train_stage(model, itertools.islice(batches(pool, seed), steps), steps, peak_lr)
    model.train(False)
    _LOG.info("pretrained in %.0f s", time.perf_counter() - start)


def train_stage(
    model: PreTrainedModel, batches: Iterator[Batch], steps: int, peak_lr: float
) -> None:
    """Train for ``steps`` steps: linear warm-up, then half a cosine down to zero."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / WARM_UP, 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    total = 0.0
    for step, batch in enumerate(batches, start=1):
        loss = model(**batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % LOG_EVERY == 0:
            _LOG.info("step %d of %d, loss %.4f", step, steps, total / LOG_EVERY)
            total = 0.0


def save(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, out: Path, **settings: Any
) -> None:
    """Write model and tokenizer so that every transformers since 4.40 loads them, offline.

    Args:
        model: written with its weights as safetensors.
        tokenizer: written beside it.
        out: folder to write.
        settings: further entries of the tokenizer's configuration.
    """
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # transformers 5 writes names of classes and keys that 4 does not know; both read these.
    path = out / "tokenizer_config.json"
    written = json.loads(path.read_text())
    written["tokenizer_class"] = "PreTrainedTokenizerFast"
    written.pop("extra_special_tokens", None)
    written.pop("backend", None)
    path.write_text(json.dumps(written | settings, indent=2, sort_keys=True) + "\n")
    # Weights are written readable for their owner only, which would end up in an installation.
    for each in out.iterdir():
        each.chmod(0o644)


def run(name: str, pretrain: Callable[[Path, int], None]) -> None:
    """Read the command line and pretrain: one thread, seeded before any weight is drawn.

    Args:
        name: of the built-in model; without ``--out`` it is written where the package looks.
        pretrain: builds, trains and saves, given the folder and the seed.
    """
    parser = argparse.ArgumentParser(description=f"Pretrain the built-in {name}.")
    parser.add_argument("--out", type=Path, default=MODEL_DIRS[name], help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of weights, text and order")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    pretrain(arguments.out, arguments.seed)
