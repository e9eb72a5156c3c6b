"""Pretrain a tiny ViT on five of scikit-learn's digits, and write the other five as a task.

The images are the 1,797 handwritten digits of ``sklearn.datasets.load_digits``, 8 x 8 pixels in
grey. The ViT (16 patches of 2 x 2, four layers of width 64) is trained from nothing to tell 0, 1,
2, 3 and 4 apart, on images that are shifted, turned and blurred with noise. The task is to tell
5, 6, 7, 8 and 9 apart: neither their images nor their classes have been seen. Of each of them two
thirds are for training, drawn with the seed.

    python scripts/pretrain_digits_vit.py --out DIR
    peftsearch run --model DIR/model --task image-classification --data DIR/digits --budget 2%

Writes ``DIR/model`` (0.6 MB) and ``DIR/digits/{train,validation}/CLASS/*.png``. One thread, every
seed fixed; takes one to two minutes.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pretraining as shared
import torch
from PIL import Image
from sklearn.datasets import load_digits
from transformers import ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

SIDE, KNOWN = 8, 5
STEPS, PEAK_LR = 1500, 1e-3
TRAIN_SHARE = 2 / 3
NAMES = "zero one two three four five six seven eight nine".split()
MEAN = STD = 0.5

Images = npt.NDArray[np.uint8]


def digits() -> tuple[Images, npt.NDArray[np.int64]]:
    """Return the images (rows, 8, 8) with values from 0 to 255, and their digits (rows,)."""
    found = load_digits()
    return np.round(found.images * 255 / 16).astype(np.uint8), found.target.astype(np.int64)


def build_model() -> ViTForImageClassification:
    """Return an untrained ViT for the digits that it is to know."""
    config = ViTConfig(
        image_size=SIDE,
        patch_size=2,
        num_channels=1,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=128,
        num_labels=KNOWN,
        id2label=dict(enumerate(NAMES[:KNOWN])),
        label2id={name: i for i, name in enumerate(NAMES[:KNOWN])},
    )
    return ViTForImageClassification(config)


def changed(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Shift an image by at most a pixel, turn it by at most 20 degrees, and add noise."""
    turned = Image.fromarray(image).rotate(
        float(rng.uniform(-20, 20)),
        Image.Resampling.BILINEAR,
        translate=tuple(int(n) for n in rng.integers(-1, 2, size=2)),
    )
    noisy = np.asarray(turned, dtype=np.float32) + rng.normal(0, 12, image.shape)
    return ((noisy / 255).clip(0, 1) - MEAN).astype(np.float32) / STD


def batches(images: Images, labels: npt.NDArray[np.int64], seed: int) -> Iterator[shared.Batch]:
    """Yield batches of changed images without end."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(images))
        for start in range(0, len(order) - shared.BATCH_SIZE + 1, shared.BATCH_SIZE):
            rows = order[start : start + shared.BATCH_SIZE]
            pixels = np.stack([changed(images[i], rng) for i in rows])
            yield {
                "pixel_values": torch.from_numpy(pixels)[:, None],
                "labels": torch.from_numpy(labels[rows]),
            }


def pretrain(out: Path, seed: int) -> None:
    """Train on the digits below five, and save the model with its image processor."""
    images, labels = digits()
    known = labels < KNOWN
    model = build_model()
    model.train()
    endless = batches(images[known], labels[known], seed)
    shared.train_stage(model, (next(endless) for _ in range(STEPS)), STEPS, PEAK_LR)
    model.train(False)
    model.save_pretrained(out)
    size = {"height": SIDE, "width": SIDE}
    ViTImageProcessorPil(size=size, image_mean=[MEAN], image_std=[STD]).save_pretrained(out)


def write_task(out: Path, seed: int) -> None:
    """Write the digits from five on as a folder for each class in each split."""
    images, labels = digits()
    rng = np.random.default_rng(seed)
    for digit in range(KNOWN, len(NAMES)):
        rows = rng.permutation(np.flatnonzero(labels == digit))
        cut = round(TRAIN_SHARE * len(rows))
        for split, part in (("train", rows[:cut]), ("validation", rows[cut:])):
            folder = out / split / NAMES[digit]
            folder.mkdir(parents=True, exist_ok=True)
            for row in part:
                Image.fromarray(images[row]).save(folder / f"{row:04d}.png")


def main() -> None:
    """Read the command line: one thread, seeded before any weight is drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and split")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    pretrain(arguments.out / "model", arguments.seed)
    write_task(arguments.out / "digits", arguments.seed)


if __name__ == "__main__":
    main()
