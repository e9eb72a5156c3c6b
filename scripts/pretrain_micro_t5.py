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

import argparse
import itertools
import json
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from peftsearch.micro import MODEL_DIR
from peftsearch.micro.corpus import NUM_SENTINELS, Example, examples, sentinel, vocabulary

_LOG = logging.getLogger("pretrain_micro_t5")

BATCH_SIZE = 64
SCHEDULE = (
    ("a", 3000, 3e-3),
    ("b", 5000, 3e-3),
    ("c", 2500, 2e-3),
    ("d", 1500, 2e-3),
    ("d", 1500, 2e-3),
)
"""Stage, steps and peak learning rate."""

WARM_UP = 100
LOG_EVERY = 250
POOL_SIZE = 100_000
"""Distinct examples per stage; they are walked through in a new order each time."""

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
IGNORED = -100


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per word: pad 0, end 1, unknown 2, sentinels, words."""
    tokens = [PAD, EOS, UNK, *(sentinel(i) for i in range(NUM_SENTINELS)), *vocabulary()]
    backend = Tokenizer(WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNK))
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        additional_special_tokens=[sentinel(i) for i in range(NUM_SENTINELS)],
        model_max_length=64,
    )


def build_model(vocab_size: int, seed: int) -> T5ForConditionalGeneration:
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
    torch.manual_seed(seed)
    return T5ForConditionalGeneration(config)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], pad: int) -> torch.Tensor:
    """Return token ids of shape (number of texts, longest), padded with ``pad``, int64."""
    vocabulary_ids: dict[str, int] = tokenizer.get_vocab()
    rows = [[vocabulary_ids[token] for token in (*text.split(), EOS)] for text in texts]
    width = max(len(row) for row in rows)
    return torch.tensor([row + [pad] * (width - len(row)) for row in rows])


def batches(
    tokenizer: PreTrainedTokenizerFast, pool: Sequence[Example], seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield (source ids, target ids) without end, each pass over the pool in a new order.

    One batch holds either one-word answers or longer targets: mixed, the few long ones would
    make the decoder work on padding for all the others.
    """
    sources = encode(tokenizer, [source for source, _ in pool], pad=0)
    targets = encode(tokenizer, [target for _, target in pool], pad=IGNORED)
    is_long = (targets != IGNORED).sum(1) > 2
    generator = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(len(pool), generator=generator)
        cut = [
            *torch.split(order[is_long[order]], BATCH_SIZE),
            *torch.split(order[~is_long[order]], BATCH_SIZE),
        ]
        for index in torch.randperm(len(cut), generator=generator).tolist():
            source, target = sources[cut[index]], targets[cut[index]]
            # Cut the columns that are padding everywhere in this batch: they only cost time.
            yield (
                source[:, : int((source != 0).sum(1).max())],
                target[:, : int((target != IGNORED).sum(1).max())].contiguous(),
            )


def train_stage(
    model: T5ForConditionalGeneration,
    stream: Iterator[tuple[torch.Tensor, torch.Tensor]],
    steps: int,
    peak_lr: float,
) -> None:
    """Train all weights for ``steps`` steps: linear warm-up, then half a cosine down to zero."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak_lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min((step + 1) / WARM_UP, 0.5 * (1 + math.cos(math.pi * step / steps))),
    )
    model.train()
    total = 0.0
    for step, (source, target) in enumerate(itertools.islice(stream, steps), start=1):
        loss = model(
            input_ids=source, attention_mask=(source != 0).long(), labels=target, use_cache=False
        ).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += float(loss.detach())
        if step % LOG_EVERY == 0:
            _LOG.info("step %d of %d, loss %.4f", step, steps, total / LOG_EVERY)
            total = 0.0


def save(model: T5ForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write model and tokenizer so that every transformers since 4.40 loads them, offline."""
    model.train(False)
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)
    # transformers 5 writes names of classes and keys that 4 does not know; both read these.
    path = out / "tokenizer_config.json"
    settings = json.loads(path.read_text())
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    settings["additional_special_tokens"] = [sentinel(i) for i in range(NUM_SENTINELS)]
    settings.pop("extra_special_tokens", None)
    settings.pop("backend", None)
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    # Weights are written readable for their owner only, which would end up in an installation.
    for each in out.iterdir():
        each.chmod(0o644)


def pretrain(out: Path, seed: int) -> None:
    """Build, train and save model and tokenizer."""
    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = build_model(len(tokenizer), seed)
    _LOG.info("%d parameters, %d words", model.num_parameters(), len(tokenizer))
    start = time.perf_counter()
    for stage, steps, peak_lr in SCHEDULE:
        _LOG.info("stage %s", stage)
        pool = list(itertools.islice(examples(stage, seed), POOL_SIZE))
        train_stage(model, batches(tokenizer, pool, seed), steps, peak_lr)
    _LOG.info("pretrained in %.0f s", time.perf_counter() - start)
    save(model, tokenizer, out)


def main() -> None:
    """Read the command line and pretrain."""
    parser = argparse.ArgumentParser(description="Pretrain the built-in micro T5.")
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of weights, text and order")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    pretrain(arguments.out, arguments.seed)


if __name__ == "__main__":
    main()
