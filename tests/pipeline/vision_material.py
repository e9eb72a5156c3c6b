"""A tiny ViT and a tiny CLIP with what reads their rows on disk, and rows with images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from transformers import CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from peftsearch import config as configuration
from peftsearch.config import RunConfig
from tests.models import FACTORIES
from tests.pipeline.material import SHORT, _tokenizer

CLASSES = ("dark", "light")
COLOURS = {"red": (200, 20, 20), "green": (20, 200, 20), "blue": (20, 20, 200)}
SIZE = {"height": 8, "width": 8}


def image_of(colour: tuple[int, int, int], seed: int) -> Image.Image:
    """Return an image of a colour with noise."""
    noise = np.random.default_rng(seed).integers(-20, 21, (8, 8, 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def write_vit(folder: Path, labels: int = 5) -> Path:
    """Write a ViT with a head for other labels than any task here has."""
    FACTORIES["vit"](16, num_hidden_layers=1, num_labels=labels).save_pretrained(folder)
    ViTImageProcessorPil(size=SIZE).save_pretrained(folder)
    return folder


def write_clip(folder: Path) -> Path:
    """Write a CLIP whose texts end at the tokenizer's end token."""
    model = FACTORIES["clip"](16)
    model.config.text_config.eos_token_id = 1
    model.save_pretrained(folder)
    tokenizer = _tokenizer("<cls> $A </s>", "<cls> $A </s> $B:1 </s>:1")
    tokenizer.model_max_length = 12
    images = CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=SIZE)
    CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def write_classes(folder: Path, train: int = 40, validation: int = 12) -> Path:
    """Write a sub-folder for each class in each split."""
    for start, (part, count) in zip(
        (0, 10**6), (("train", train), ("validation", validation)), strict=True
    ):
        for k, name in enumerate(CLASSES):
            place = folder / part / name
            place.mkdir(parents=True)
            for i in range(count):
                level = 70 + 90 * k
                image_of((level, level, level), start + 1000 * k + i).save(place / f"{i}.png")
    return folder


def write_pairs(folder: Path, train: int = 60, validation: int = 18) -> Path:
    """Write images of a colour with a text that names it."""
    folder.mkdir(parents=True, exist_ok=True)
    for start, (part, count) in zip(
        (0, 10**6), (("train", train), ("validation", validation)), strict=True
    ):
        rows = []
        for i in range(count):
            name, colour = list(COLOURS.items())[i % len(COLOURS)]
            image_of(colour, start + i).save(folder / f"{part}-{i}.png")
            animal = ("cat", "dog", "bird")[i // 3 % 3]
            rows.append({"image": f"{part}-{i}.png", "text": f"the {name} {animal}"})
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def short_config(model: Path, space: Path, task: str, data: Path, **changes: Any) -> RunConfig:
    """Return a configuration of few steps."""
    named = {"model": str(model), "space": str(space), "task": task, "data": str(data)}
    return configuration.resolve(flags={**SHORT, **named, **changes})
