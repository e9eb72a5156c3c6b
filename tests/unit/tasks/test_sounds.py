"""Sounds of rows: every way in, and every way in which one can be wrong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import soundfile

from peftsearch import tasks
from peftsearch.errors import ConfigError
from peftsearch.frames import brought
from peftsearch.tasks.inference import Wishes, columns_of
from peftsearch.tasks.shapes import Record
from peftsearch.tasks.sounds import decoded, encoded, resampled, seconds, sound_of
from tests.sound_material import RATE, folder_of, spelt, words

TONE = spelt("abc")


def given(value: Any, folder: Path | None = None) -> Any:
    """Return the sound of one record."""
    return sound_of("audio", Record("train row 3", {"audio": value}), folder)


def written(path: Path, **more: Any) -> Path:
    """Write the tone to a file of the format that its name says."""
    soundfile.write(path, TONE, RATE, **more)
    return path


@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg"])
def test_files_bytes_and_mappings(name: str, tmp_path: Path) -> None:
    path = written(tmp_path / name)
    content = path.read_bytes()
    ways = [
        given(str(path)),
        given(name, tmp_path),
        given(content),
        given({"path": name, "bytes": content}),
        given({"path": str(path), "bytes": None}),
    ]
    assert len({way.digest for way in ways}) == 1
    near = {"x.wav": 1e-4, "x.flac": 1e-4, "x.ogg": 0.2}[name]
    for way in ways:
        samples = decoded(way.read())
        assert samples.dtype == np.float32
        assert float(np.abs(samples[: len(TONE)] - TONE).max()) < near
        assert seconds(way.read()) == pytest.approx(0.3)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_arrays_are_kept_without_loss(kind: Any) -> None:
    found = given({"array": TONE.astype(kind), "sampling_rate": RATE})
    assert np.array_equal(decoded(found.read()), TONE)
    assert found == given({"array": TONE.tolist(), "sampling_rate": RATE})


def test_the_bytes_of_an_array_do_not_hold_the_time_of_day() -> None:
    """Else a run that goes on would find other rows; libsndfile writes it into the chunk PEAK."""
    content = encoded(TONE, RATE)
    assert b"PEAK" not in content
    assert len(content) < 4 * len(TONE) + 100, "nothing but a header and the samples"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"RIFF no sound", "is no sound that can be decoded"),
        (b"", "is missing|no sound"),
        (None, "is missing"),
        (7, "is of type int"),
        ("absent.wav", "which cannot be read"),
        (TONE, r"holds 4,800 numbers without their rate"),
        ({"array": TONE, "sampling_rate": 0}, "sampling_rate 0, which is no number"),
        ({"array": TONE}, "sampling_rate None"),
        ({"array": [], "sampling_rate": RATE}, r"shape \(0,\)"),
        ({"array": np.ones(9, dtype=np.int16), "sampling_rate": RATE}, "int16 .* not of fractions"),
        ({"array": [float("nan")], "sampling_rate": RATE}, "not finite"),
        (encoded(np.zeros(0, dtype=np.float32), RATE), "an empty sound"),
        (encoded(TONE, RATE)[:30], "is no sound|an empty sound"),
    ],
)
def test_wrong_sounds_are_refused_with_their_row(value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        given(value)
    assert caught.value.message.startswith("train row 3: ")


def test_another_rate_keeps_pitch_and_length() -> None:
    """The loudest frequency of a second of a tone, by the Fourier transform."""
    for rate in (8000, 22050, 48000):
        tone = np.sin(2 * np.pi * 700 * np.arange(rate) / rate).astype(np.float32)
        found = resampled(tone, rate, RATE)
        assert found.dtype == np.float32
        assert len(found) == RATE
        assert int(np.abs(np.fft.rfft(found)).argmax()) == 700
    assert resampled(TONE, RATE, RATE) is TONE
    high = np.sin(2 * np.pi * 11_000 * np.arange(44_100) / 44_100).astype(np.float32)
    assert float(np.abs(resampled(high, 44_100, RATE)[500:-500]).max()) < 0.01, "it would alias"


def test_channels_are_their_mean() -> None:
    target = io.BytesIO()
    soundfile.write(target, np.stack([TONE, -TONE / 2], axis=1), RATE, "FLOAT", format="WAV")
    assert np.allclose(decoded(target.getvalue()), TONE / 4, atol=1e-7)


# --- tasks ---


def test_a_folder_of_sounds_is_a_task(tmp_path: Path) -> None:
    task = tasks.get("speech-recognition", Wishes(language="en"), folder_of(tmp_path))
    assert (task.columns, task.label_column, task.language) == (("audio",), "transcription", "en")
    assert task.metrics == ("one_minus_wer", "wer", "cer")
    data = tasks.load(task, tmp_path)
    assert len(data.train) == 40
    row = data.train[0]
    assert np.allclose(decoded(row["audio"].read()), spelt(row["transcription"]), atol=1e-6)
    splits = tasks.split(data)
    assert len(splits.search_train) + len(splits.search_valid) + len(splits.selection) == 40


def test_a_wrong_sound_of_a_folder_is_named(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "train" / "clips" / "3.wav").write_bytes(b"noise")
    (folder / "train" / "clips" / "5.wav").unlink()
    task = tasks.get("speech-recognition", Wishes(), folder)
    with pytest.raises(ConfigError) as caught:
        tasks.load(task, folder)
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 2
    assert "metadata.csv line 5" in messages[0]
    assert "3.wav" in messages[0]
    assert "metadata.csv line 7" in messages[1]


def test_frames_with_arrays_are_kept(tmp_path: Path) -> None:
    def frame(seed: int) -> pandas.DataFrame:
        sounds = [{"array": spelt(word), "sampling_rate": RATE} for word in words(12, seed)]
        return pandas.DataFrame({"audio": sounds, "text": words(12, seed)})

    brought("speech-recognition", {"train": frame(0), "validation": frame(1)}).write(tmp_path)
    folder = tmp_path / "data"
    task = tasks.get("speech-recognition", Wishes(), folder)
    row = tasks.load(task, folder).train[2]
    assert np.array_equal(decoded(row["audio"].read()), spelt(row["text"]))


def test_a_file_of_a_task(tmp_path: Path) -> None:
    path = tmp_path / "spell.yaml"
    path.write_text("kind: speech-recognition\nlabel_column: said\nlanguage: fr\n")
    task = tasks.read_task(path)
    assert (task.columns, task.language, task.max_target_length) == (("audio",), "fr", 224)
    from peftsearch.tasks.writing import write_task

    write_task(task, tmp_path / "again.yaml")
    again = tasks.read_task(tmp_path / "again.yaml")
    assert (again.max_target_length, again.language, again.metrics) == (224, "fr", task.metrics)
    path.write_text("kind: speech-recognition\nmetrics: [wer]\ntemplate: x\nlabels: [a, b]\n")
    with pytest.raises(ConfigError) as caught:
        tasks.read_task(path)
    text = " ".join(f"{p.message} {p.hint}" for p in caught.value.problems)
    assert "metrics: [one_minus_wer, wer]" in text
    assert "template has no meaning for speech-recognition" in text
    assert "labels have no meaning for speech-recognition" in text


def test_which_columns_are_meant(tmp_path: Path) -> None:
    rows = [{"audio": "a.wav", "sentence": "x", "speaker": "y"}]
    assert columns_of(rows)["audio"].type == "audio"
    found = tasks.inference.infer("t", tasks.Folder(tmp_path), columns_of(rows), rows, Wishes())
    assert (found.kind, found.label_column) == ("speech-recognition", "sentence")
    rows = [{"audio": "a.wav", "sentence": "x", "text": "y"}]
    with pytest.raises(ConfigError, match="not clear which column has the transcript"):
        tasks.inference.infer("t", tasks.Folder(tmp_path), columns_of(rows), rows, Wishes())
