"""Sounds of rows: found, and decoded by soundfile (libsndfile).

Place in the flow: below :mod:`peftsearch.tasks.rows`. Every sound is decoded once when rows are
checked, so that a damaged one stops the run before anything is trained.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from peftsearch.errors import ConfigError, MissingError
from peftsearch.tasks.media import Media, media_of
from peftsearch.tasks.shapes import Record

Samples = npt.NDArray[np.float32]

_HINT = "Repair it or take the row out; wav, flac, ogg and mp3 are read."


def sound_of(column: str, record: Record, folder: Path | None) -> Media:
    """Return the sound of a column, once it has been seen that it can be decoded.

    Args:
        column: Name of the column: a path, bytes, or ``{"array": …, "sampling_rate": …}`` with
            numbers in [-1, 1].
        record: The record.
        folder: Where relative paths begin.

    Raises:
        ConfigError: There is none, it cannot be decoded, or nothing is to be heard in it.
    """
    value = record.values.get(column)
    if isinstance(value, list | tuple | np.ndarray):
        raise ConfigError(
            f'{record.where}: "{column}" holds {len(value):,} numbers without their rate.',
            'Give {"array": numbers, "sampling_rate": 16000}.',
        )
    try:
        if isinstance(value, Mapping) and value.get("array") is not None:
            content = encoded(_array(value["array"]), _rate(value.get("sampling_rate")))
            return Media(hashlib.sha256(content).hexdigest(), data=content)
        found = media_of(column, record, folder)
    except _WrongSoundError as error:
        raise ConfigError(f'{record.where}: "{column}" is {error}.', _HINT) from error
    try:
        decoded(found.read())
    except ConfigError as error:
        place = "" if found.path is None else f' in "{found.path}"'
        raise ConfigError(f'{record.where}: "{column}"{place} is {error.message}', _HINT) from error
    return found


class _WrongSoundError(ValueError):
    """Numbers that are no sound; the text ends a sentence."""


def _array(value: Any) -> Samples:
    """Return the samples of an array: mono, or channels in either order, as their mean."""
    array = np.asarray(value)
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or not array.size:
        kind = f"{array.dtype} of shape {tuple(array.shape)}"
        raise _WrongSoundError(f"an array of {kind}, not of fractions in [-1, 1]")
    if not np.isfinite(array).all():
        raise _WrongSoundError("an array with numbers that are not finite")
    if array.ndim == 2:
        array = array.mean(axis=int(np.argmin(array.shape)))
    return array.astype(np.float32)


def _rate(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise _WrongSoundError(f"an array with the sampling_rate {value!r}, which is no number")
    return int(value)


def decoded(content: bytes, rate: int | None = None) -> Samples:
    """Decode a sound.

    Args:
        content: The file.
        rate: Samples in a second to resample to, by a polyphase filter; ``None``: as it is.

    Returns:
        (samples,), the mean of all channels.

    Raises:
        ConfigError: It is no sound, damaged, or empty.
    """
    soundfile = _soundfile()
    try:
        samples, own = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(getattr(error, "error_string", error)).split())
        raise ConfigError(f"no sound that can be decoded ({reason:.120}).") from error
    if not len(samples):
        raise ConfigError("an empty sound.")
    if not np.isfinite(samples).all():
        raise ConfigError("a sound with samples that are not finite.")
    mono: Samples = samples.mean(axis=1)
    return mono if rate is None else resampled(mono, int(own), rate)


def seconds(content: bytes) -> float:
    """Return the length of a sound in seconds, from its header."""
    info = _soundfile().info(io.BytesIO(content))
    return float(info.frames / info.samplerate)


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """Return samples (T,) at another rate, without what the new rate cannot hold."""
    if rate == wanted:
        return samples
    from scipy.signal import resample_poly

    common = int(np.gcd(rate, wanted))
    found = resample_poly(samples, wanted // common, rate // common)
    return np.asarray(found, dtype=np.float32)


def encoded(samples: Samples, rate: int) -> bytes:
    """Return samples (T,) as a WAV file of 32-bit floats, without loss."""
    from scipy.io import wavfile  # libsndfile would write the time of day into it

    target = io.BytesIO()
    wavfile.write(target, rate, samples)
    return target.getvalue()


def _soundfile() -> Any:
    try:
        import soundfile
    except (ModuleNotFoundError, OSError) as error:  # the second: libsndfile itself is missing
        raise MissingError(
            f"sounds are read by soundfile, which cannot be loaded ({error}).",
            "pip install soundfile",
        ) from error
    return soundfile
