"""Numbers made of images or sounds, kept as long as there is room."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from peftsearch.tasks.media import Media

Numbers = npt.NDArray[np.float32]

#: Bytes that a shelf keeps; what is beyond is made each time it is needed.
ROOM = 2**30


class Shelf:
    """What was made of images or sounds; two with the same bytes share it.

    Args:
        make: Returns the numbers of one, of the same shape for all.
    """

    def __init__(self, make: Callable[[Media], Numbers]) -> None:
        self._make = make
        self._kept: dict[str, Numbers] = {}
        self._room = ROOM

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def batch(self, media: Sequence[Media]) -> Tensor:
        """Return the numbers of several, one below the other, in float32."""
        return torch.from_numpy(np.stack([self._numbers(each) for each in media]))

    def _numbers(self, media: Media) -> Numbers:
        if media.digest in self._kept:
            return self._kept[media.digest]
        made = self._make(media)
        if made.nbytes <= self._room:
            self._room -= made.nbytes
            self._kept[media.digest] = made
        return made
