"""Images as a model reads them: decoded, and resized and normalised by its image processor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.shelf import Numbers, Shelf
from peftsearch.tasks.images import MODES, decoded
from peftsearch.tasks.media import Media


class PixelReader:
    """Turns images into pixel values, and keeps them as long as there is room.

    Args:
        processor: Image processor of the model.
        config: Configuration of the model, or of its vision tower.

    Raises:
        ConfigError: The model takes images of other channels than grey or RGB.
    """

    def __init__(self, processor: Any, config: Any) -> None:
        self._processor = processor
        self._channels = int(getattr(config, "num_channels", 3))
        self._size = _size_of(config)
        self._shelf = Shelf(self._processed)
        if self._channels not in MODES:
            raise ConfigError(
                f"the model takes images of {self._channels} channels.",
                "Images are read as grey (1) or RGB (3).",
            )

    def batch(self, images: Sequence[Media]) -> Tensor:
        """Return pixel values (images, channels, height, width) in float32."""
        return self._shelf.batch(images)

    def _processed(self, image: Media) -> Numbers:
        """Return one image (channels, height, width).

        Raises:
            ConfigError: The processor makes images of a size that the model does not take.
        """
        grey = self._channels == 1
        raw = np.asarray(decoded(image.read(), self._channels))
        array = raw[None] if grey else raw.transpose(2, 0, 1)
        found = self._processor(
            images=[array], input_data_format="channels_first", return_tensors="np"
        )
        pixels = np.asarray(found["pixel_values"][0], dtype=np.float32)
        if self._size is not None and pixels.shape[1:] != self._size:
            raise ConfigError(
                f"the model takes images of {_written(self._size)} pixels, and its image processor "
                f"makes them {_written(pixels.shape[1:])}.",
                "Mend size (and crop_size) in its preprocessor_config.json.",
            )
        return pixels


def _size_of(config: Any) -> tuple[int, int] | None:
    """Return the height and width of images, where a model takes those alone."""
    size = getattr(config, "image_size", None)
    if size is None:
        return None
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


def _written(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))
