"""Write a CLIP-shaped model with random weights, and pairs of drawn images and texts for it.

The model shows that a run with two towers works from end to end; it knows nothing. Each tower has
three layers of width 64. The images, 16 x 16 pixels, show a shape of a colour in a corner with
noise, and the texts say so: 6 colours, 3 shapes and 4 corners make 72 texts. There are four images
of each for training and one for the test, so a text is found at rank 1 by chance once in 72 times.

    python scripts/random_clip.py --out DIR
    peftsearch run --model DIR/model --task image-text-retrieval --data DIR/pairs --budget 5%

Every seed is fixed.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

SIDE, PLACES = 16, 12
COLOURS = {
    "red": (210, 40, 40),
    "green": (40, 190, 60),
    "blue": (50, 70, 220),
    "yellow": (220, 210, 50),
    "white": (235, 235, 235),
    "purple": (150, 50, 190),
}
SHAPES = ("circle", "square", "cross")
CORNERS = {"top left": (0, 0), "top right": (8, 0), "bottom left": (0, 8), "bottom right": (8, 8)}
COUNTS = {"train": 4, "validation": 1}
SPECIAL = ("<pad>", "<end>", "<unknown>", "<begin>")
END, BEGIN = 1, 3


def text_of(colour: str, shape: str, corner: str) -> str:
    """Return what an image shows."""
    return f"a {colour} {shape} at the {corner}"


def drawn(colour: str, shape: str, corner: str, rng: np.random.Generator) -> Image.Image:
    """Draw a shape somewhere in its corner, on a dark ground, with noise."""
    image = Image.new("RGB", (SIDE, SIDE), (25, 25, 25))
    pen, (left, top) = ImageDraw.Draw(image), CORNERS[corner]
    x, y = left + int(rng.integers(0, 3)), top + int(rng.integers(0, 3))
    box = (x, y, x + 5, y + 5)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        pen.line((x, y, x + 5, y + 5), fill=COLOURS[colour], width=2)
        pen.line((x, y + 5, x + 5, y), fill=COLOURS[colour], width=2)
    noisy = np.asarray(image) + rng.normal(0, 10, (SIDE, SIDE, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def write_pairs(out: Path, seed: int) -> None:
    """Write the images, and a table that names each with its text."""
    rng = np.random.default_rng(seed)
    for split, count in COUNTS.items():
        (out / split).mkdir(parents=True, exist_ok=True)
        rows = []
        every = itertools.product(range(count), COLOURS, SHAPES, CORNERS)
        for number, (_, *words) in enumerate(every):
            name = f"{number:04d}.png"
            drawn(*words, rng).save(out / split / name)
            rows.append({"file_name": name, "text": text_of(*words)})
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (out / split / "metadata.jsonl").write_text(lines, encoding="utf-8")


def build_processor() -> CLIPProcessor:
    """Return a tokenizer with one token per word, and an image processor."""
    texts = (text_of(*words) for words in itertools.product(COLOURS, SHAPES, CORNERS))
    words = dict.fromkeys(word for text in texts for word in text.split())
    backend = Tokenizer(
        WordLevel({word: i for i, word in enumerate([*SPECIAL, *words])}, unk_token=SPECIAL[2])
    )
    backend.pre_tokenizer = WhitespaceSplit()
    backend.post_processor = TemplateProcessing(
        single=f"{SPECIAL[BEGIN]} $A {SPECIAL[END]}",
        special_tokens=[(SPECIAL[BEGIN], BEGIN), (SPECIAL[END], END)],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=PLACES,
        pad_token=SPECIAL[0],
        eos_token=SPECIAL[END],
        unk_token=SPECIAL[2],
        bos_token=SPECIAL[BEGIN],
    )
    images = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return CLIPProcessor(images, tokenizer)


def build_model(vocabulary: int) -> CLIPModel:
    """Return a model of CLIP's shape with the weights that transformers draws."""
    tower = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
    }
    text = {
        **tower,
        "vocab_size": vocabulary,
        "max_position_embeddings": PLACES,
        "pad_token_id": 0,
        "eos_token_id": END,
        "bos_token_id": BEGIN,
    }
    vision = {**tower, "image_size": SIDE, "patch_size": 4}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=64))


def main() -> None:
    """Read the command line, seeded before any weight is drawn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, default=0, help="of weights and images")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    processor = build_processor()
    build_model(len(processor.tokenizer)).save_pretrained(arguments.out / "model")
    processor.save_pretrained(arguments.out / "model")
    write_pairs(arguments.out / "pairs", arguments.seed)


if __name__ == "__main__":
    main()
