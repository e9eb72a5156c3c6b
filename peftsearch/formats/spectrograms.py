"""Sounds as a model reads them: resampled, and made spectrograms by its feature extractor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peftsearch.errors import ConfigError
from peftsearch.tasks.media import Media
from peftsearch.tasks.sounds import decoded, seconds

Frames = npt.NDArray[np.float32]

#: Bytes of spectrograms that are kept; those beyond are made each time they are needed.
ROOM = 2**30


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
        self._kept: dict[str, Frames] = {}
        self._room = ROOM
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
        return torch.from_numpy(np.stack([self._frames(sound) for sound in sounds]))

    def _frames(self, sound: Media) -> Frames:
        if sound.digest not in self._kept:
            frames = self._made(sound)
            if frames.nbytes > self._room:
                return frames
            self._room -= frames.nbytes
            self._kept[sound.digest] = frames
        return self._kept[sound.digest]

    def _made(self, sound: Media) -> Frames:
        samples = decoded(sound.read(), self._rate)
        found = self._extractor(samples, sampling_rate=self._rate, return_tensors="np")
        return np.asarray(found["input_features"][0], dtype=np.float32)
