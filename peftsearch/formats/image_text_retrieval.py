"""Pairs of an image and a text: both are embedded, and compared with all others of a batch.

With a bias of the logits (SigLIP, Zhai et al. 2023, arXiv 2303.15343) the loss is that of every
pair by itself, else (CLIP, Radford et al. 2021, arXiv 2103.00020) a softmax over the texts of the
batch for each image and the other way round. Rows with the same image or the same text are no
wrong pairs: they are left out of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from peftsearch.errors import DivergedError
from peftsearch.formats.base import Feature, input_limit, padding_id
from peftsearch.formats.encoding import encode, pad
from peftsearch.formats.pixels import PixelReader
from peftsearch.tasks.answers import Embedded, Pair, Ranks
from peftsearch.tasks.base import Task
from peftsearch.tasks.rows import Row

#: What the towers of texts read; some tokenizers give more.
_TOKENS = ("input_ids", "attention_mask")
_IMAGE = "pixel_values"
#: Rows that are compared with all others at once when ranks are counted.
_AT_ONCE = 256


class ImageTextRetrieval:
    """The form of a task for models with a tower for images and one for texts.

    Args:
        task: The task: columns of image and text.
        processor: Processor of the model, with its tokenizer and its image processor.
        config: Configuration of the model.
    """

    num_labels = 0

    def __init__(self, task: Task, processor: Any, config: Any) -> None:
        self.task = task
        self.truncated = 0
        self._tokenizer = processor.tokenizer
        limit = input_limit(self._tokenizer, config.text_config)
        self.max_length = min(task.max_length, limit)
        self._pixels = PixelReader(processor.image_processor, config.vision_config)
        self._fill = {"input_ids": padding_id(self._tokenizer, config.text_config)}
        # SigLIP reads its answer at the last place, and was trained with all of them filled.
        self._places = limit if config.model_type.startswith("siglip") else 0

    def features(self, rows: Sequence[Row]) -> list[Feature]:
        """Tokenise texts, and put the images beside them."""
        image, text = self.task.columns
        inputs, long = encode(self._tokenizer, [(row[text],) for row in rows], self.max_length)
        self.truncated += len(long)
        return [
            Feature(
                {**{name: tokens[name] for name in _TOKENS if name in tokens}, _IMAGE: row[image]},
                0,
                self.task.reference(row),
            )
            for tokens, row in zip(inputs, rows, strict=True)
        ]

    def terms(self, features: Sequence[Feature]) -> int:
        """The rows."""
        return len(features)

    def collate(self, features: Sequence[Feature]) -> dict[str, Tensor]:
        """Return tokens (batch, longest), pixel values (batch, channels, height, width), and pairs.

        ``also_right`` (batch, batch) is true where image and text of two rows belong together.
        """
        tokens = [
            {name: value for name, value in feature.inputs.items() if name != _IMAGE}
            for feature in features
        ]
        batch = pad([self._filled(each) for each in tokens], self._fill)
        images = [feature.inputs[_IMAGE] for feature in features]
        right = torch.from_numpy(right_pairs([feature.reference for feature in features]))  # type: ignore[misc]
        also = right & ~torch.eye(len(features), dtype=torch.bool)
        return {**batch, _IMAGE: self._pixels.batch(images), "also_right": also}

    def _filled(self, tokens: dict[str, list[int]]) -> dict[str, list[int]]:
        """Fill a text up to the places that the model always has, if it does."""
        return {
            name: [*ids, *[self._fill.get(name, 0)] * (self._places - len(ids))]
            for name, ids in tokens.items()
        }

    def loss(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Mean loss of a row, in float32."""
        output = self._output(model, batch)
        return pair_loss(output.logits_per_text.float(), batch["also_right"], _alone(model))

    @torch.no_grad()
    def predict(self, model: Any, batch: dict[str, Tensor]) -> list[Embedded]:
        """The embeddings of each row, which :meth:`settle` compares."""
        return _embedded(self._output(model, batch))

    @torch.no_grad()
    def assess(self, model: Any, batch: dict[str, Tensor]) -> tuple[list[Embedded], float]:
        """Embeddings and mean loss, from one pass."""
        output = self._output(model, batch)
        logits = output.logits_per_text.float()
        return _embedded(output), float(pair_loss(logits, batch["also_right"], _alone(model)))

    def settle(self, said: Sequence[Embedded], references: Sequence[Pair]) -> list[Ranks]:
        """Rank the right answers among all rows, see :func:`ranks`."""
        return ranks(said, references)

    def _output(self, model: Any, batch: dict[str, Tensor]) -> Any:
        return model(**{name: tensor for name, tensor in batch.items() if name != "also_right"})


def _alone(model: Any) -> bool:
    """Whether the model scores every pair by itself."""
    return hasattr(model, "logit_bias")


def pair_loss(logits: Tensor, also_right: Tensor, alone: bool) -> Tensor:
    """Return the mean loss of a row: pairs on the diagonal are right, the others are wrong.

    Args:
        logits: Scores (texts, images).
        also_right: Pairs beside the diagonal that are not wrong (texts, images), left out.
        alone: Whether every pair is a decision by itself, else rows and columns are softmaxes.
    """
    if alone:
        signs = 2 * torch.eye(len(logits), device=logits.device) - 1
        each = functional.logsigmoid(signs * logits).masked_fill(also_right, 0.0)
        return -each.sum(1).mean()
    masked = logits.masked_fill(also_right, torch.finfo(logits.dtype).min)
    places = torch.arange(len(logits), device=logits.device)
    over_images = functional.cross_entropy(masked, places)
    return (over_images + functional.cross_entropy(masked.t(), places)) / 2


def _embedded(output: Any) -> list[Embedded]:
    images, texts = (
        each.float().cpu().numpy() for each in (output.image_embeds, output.text_embeds)
    )
    return [Embedded(image, text) for image, text in zip(images, texts, strict=True)]


def right_pairs(references: Sequence[Pair], rows: slice = slice(None)) -> np.ndarray[Any, Any]:
    """Return which rows belong together (rows, all): by the same image or the same text."""
    images = np.array([reference.image for reference in references])
    texts = np.array([reference.text for reference in references])
    found: np.ndarray[Any, Any] = (images[rows, None] == images) | (texts[rows, None] == texts)
    return found


def ranks(said: Sequence[Embedded], references: Sequence[Pair]) -> list[Ranks]:
    """Return the rank of the best right text of each image, and of the best right image of a text.

    A wrong candidate with the score of the right one stands before it, so a model that says the
    same of everything finds nothing.

    Raises:
        DivergedError: An embedding is not finite.
    """
    images, texts = (np.stack([getattr(one, side) for one in said]) for side in ("image", "text"))
    if not (np.isfinite(images).all() and np.isfinite(texts).all()):
        raise DivergedError("the model's embeddings are not finite.")
    there, back = (_ranks(*sides, references) for sides in ((images, texts), (texts, images)))
    return list(zip(there, back, strict=True))


def _ranks(
    asked: np.ndarray[Any, Any], candidates: np.ndarray[Any, Any], references: Sequence[Pair]
) -> list[int]:
    found: list[int] = []
    for start in range(0, len(asked), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        scores = asked[rows] @ candidates.T
        right = right_pairs(references, rows)
        best = np.where(right, scores, -np.inf).max(1, keepdims=True)
        found += (1 + ((scores >= best) & ~right).sum(1)).tolist()
    return found
