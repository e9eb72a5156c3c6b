"""Sounds as a model reads them: resampled, and made spectrograms by its feature extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.formats.shelf import Numbers, Shelf
from peftsearch.tasks.media import Media
from peftsearch.tasks.sounds import decoded, seconds


class SpectrogramReader:
    """Turns sounds into spectrograms, and keeps them as long as there is room.

    Args:
        extractor: Feature extractor of the model, which pads every sound to the longest.
        config: Configuration of the model.

    Raises:
        ConfigError: The extractor makes spectrograms of a size that the model does not take.
    """

    def __init__(self, extractor: Any, config: Any) -> None:
        self._extractor = extractor
        self._rate = int(extractor.sampling_rate)
        self._shelf = Shelf(self._made)
        #: The longest sound, in seconds.
        self.longest = extractor.n_samples / self._rate
        made = (int(extractor.feature_size), int(extractor.nb_max_frames))
        taken = (int(config.num_mel_bins), 2 * int(config.max_source_positions))
        if made != taken:
            raise ConfigError(
                f"the model takes {taken[0]} bands of {taken[1]:,} frames, and its feature "
                f"extractor makes {made[0]} of {made[1]:,}.",
                "Mend feature_size and chunk_length in its preprocessor_config.json.",
            )

    def too_long(self, sounds: Sequence[Media]) -> list[tuple[int, float]]:
        """Return the places of the sounds that the model cannot hear to their end, and seconds."""
        lengths = [seconds(sound.read()) for sound in sounds]
        return [(i, length) for i, length in enumerate(lengths) if length > self.longest]

    def batch(self, sounds: Sequence[Media]) -> Tensor:
        """Return spectrograms (sounds, bands, frames) in float32."""
        return self._shelf.batch(sounds)

    def _made(self, sound: Media) -> Numbers:
        samples = decoded(sound.read(), self._rate)
        found = self._extractor(samples, sampling_rate=self._rate, return_tensors="np")
        return np.asarray(found["input_features"][0], dtype=np.float32)
