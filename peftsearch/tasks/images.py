"""Images of rows: found, and decoded by Pillow.

Place in the flow: below :mod:`peftsearch.tasks.rows`. Every image is decoded once when rows are
checked, so that a damaged one stops the run before anything is trained.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from peftsearch.errors import ConfigError
from peftsearch.tasks.media import Media, media_of
from peftsearch.tasks.shapes import Record

if TYPE_CHECKING:
    from PIL.Image import Image

#: Pillow's mode by the number of channels that a model takes.
MODES = {1: "L", 3: "RGB"}


def image_of(column: str, record: Record, folder: Path | None) -> Media:
    """Return the image of a column, once it has been seen that it can be decoded.

    Args:
        column: Name of the column: a path, bytes, or an image of Pillow.
        record: The record.
        folder: Where relative paths begin.

    Raises:
        ConfigError: There is none, or it cannot be decoded.
    """
    from PIL.Image import Image

    value = record.values.get(column)
    if isinstance(value, Image):
        content = encoded(value)
        return Media(hashlib.sha256(content).hexdigest(), data=content)
    found = media_of(column, record, folder)
    try:
        decoded(found.read())
    except ConfigError as error:
        place = "" if found.path is None else f' in "{found.path}"'
        raise ConfigError(
            f'{record.where}: "{column}"{place} is {error.message}',
            "Repair it or take the row out; every format of Pillow is read.",
        ) from error
    return found


def decoded(content: bytes, channels: int = 3) -> Image:
    """Decode an image, turned as its camera noted, with 1 (grey) or 3 (RGB) channels.

    Raises:
        ConfigError: It is no image, damaged, or so large that it may be an attack.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata that is not read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
                return upright.convert(MODES[channels])
    # Pillow's decoders raise errors of many unrelated classes on damaged files.
    except Exception as error:
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "its format is not known" if unknown else " ".join(str(error).split())
        raise ConfigError(f"no image that can be decoded: {reason:.120}.") from error


def encoded(image: Image) -> bytes:
    """Return an image as PNG, without loss."""
    target = io.BytesIO()
    kept = image if image.mode in ("1", "L", "LA", "P", "RGB", "RGBA") else image.convert("RGB")
    kept.save(target, format="PNG")
    return target.getvalue()
