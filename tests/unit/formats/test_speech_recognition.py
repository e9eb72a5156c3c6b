"""Transcripts of tones by a tiny Whisper, against its own loss and writing without a cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import WhisperTokenizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES

from peftsearch import testing
from peftsearch.backbones.base import wrap
from peftsearch.errors import ConfigError
from peftsearch.formats import SpeechRecognition, form_of, head_of, head_outputs, make_format
from peftsearch.formats.spectrograms import SpectrogramReader
from peftsearch.formats.transcript_prefix import transcript_prefix
from peftsearch.injection import apply, insertions_of
from peftsearch.tasks import Row, Task
from peftsearch.tasks.media import Media
from peftsearch.tasks.shapes import Record
from peftsearch.tasks.sounds import encoded, sound_of
from tests.models import FACTORIES
from tests.sound_material import BANDS, RATE, processor, spelt, whisper, words

TASK = Task(
    "spell",
    "",
    "speech-recognition",
    ("audio",),
    "text",
    metrics=("one_minus_wer", "wer", "cer"),
    max_target_length=8,
)


def sound(text: str, **more: Any) -> Media:
    """Return the sound of a word."""
    rate = more.get("rate", RATE)
    content = encoded(spelt(text, **more), rate)
    return sound_of("audio", Record("row", {"audio": content}), None)


ROWS: list[Row] = [{"audio": sound(word), "text": word} for word in words(4)]


def made(**more: Any) -> tuple[SpeechRecognition, Any]:
    """Return the format and a model."""
    model = whisper(**more)
    form = make_format(TASK, processor(), model.config)
    assert isinstance(form, SpeechRecognition)
    return form, model


def test_the_rule() -> None:
    config = whisper().config
    assert (form_of(TASK, config), head_outputs(TASK, config), head_of(TASK)) == (
        "text",
        0,
        "speech",
    )
    with pytest.raises(ConfigError, match='which Whisper does; this model is of type "t5"'):
        make_format(TASK, processor(), FACTORIES["t5"]().config)
    with pytest.raises(ConfigError, match="needs an encoder-decoder"):
        make_format(TASK, processor(), FACTORIES["bert"]().config)


def test_the_loss_is_the_model_s_own_on_what_follows_the_prefix() -> None:
    form, model = made()
    features = form.features(ROWS)
    batch = form.collate(features)
    losses, counts = [], []
    tokenizer = processor().tokenizer
    for row, feature in zip(ROWS, features, strict=True):
        ids = tokenizer(" " + row["text"])["input_ids"]  # with prefix and end
        assert ids == [*form.prefix, *feature.target]  # type: ignore[misc]
        labels = torch.tensor([ids[1:]])
        labels[:, : len(form.prefix) - 1] = -100
        one = form.collate([feature])
        with torch.no_grad():
            frames = one["input_features"]
            out = model(frames, decoder_input_ids=torch.tensor([ids[:-1]]), labels=labels)
        counts.append(int((labels != -100).sum()))
        losses.append(float(out.loss) * counts[-1])
    wanted = sum(losses) / sum(counts)
    assert form.loss(model, batch).item() == pytest.approx(wanted, rel=1e-5)
    assert form.terms(features) == sum(counts)
    assert form.assess(model, batch)[1] == pytest.approx(wanted, rel=1e-5)


def learned(form: SpeechRecognition, model: Any) -> Any:
    """Return a model that knows these words by heart, with all methods in it."""
    steps = torch.optim.AdamW(model.parameters(), lr=5e-3)
    batch = form.collate(form.features(ROWS))
    for _ in range(120):
        loss = form.loss(model, batch)
        steps.zero_grad()
        loss.backward()
        steps.step()
    return model.eval()


@torch.no_grad()
def alone(form: SpeechRecognition, model: Any, frames: Any) -> list[int]:
    """Write token by token, each from the whole text, without a cache."""
    ids = list(form.prefix)
    while len(ids) < len(form.prefix) + form.max_target_length:
        out = model(frames, decoder_input_ids=torch.tensor([ids]), use_cache=False)
        ids.append(int(out.logits[0, -1].argmax()))
        if ids[-1] == 0:
            break
    return ids[len(form.prefix) :]


def test_what_is_written_is_what_is_written_alone_and_without_a_cache() -> None:
    form, model = made(encoder_layers=1, decoder_layers=2)
    learned(form, model)
    features = form.features(ROWS)
    assert form.predict(model, form.collate(features)) == [row["text"] for row in ROWS]
    backbone = wrap("test", model)
    choices = [c for m in ("lora", "prefix") for c in testing.choices_for(backbone, m, 2)]
    apply(model, testing.architecture_of(backbone, choices))
    testing.draw(insertions_of(model), std=0.2)
    model.eval()
    found = form.predict(model, form.collate(features))
    assert found != [row["text"] for row in ROWS], "the methods change what is written"
    for text, feature in zip(found, features, strict=True):
        one = form.collate([feature])
        ids = alone(form, model, one["input_features"])
        assert processor().tokenizer.decode(ids, skip_special_tokens=True).strip() == text
        assert form.predict(model, one) == [text]


def test_a_sound_of_another_rate_is_heard_alike() -> None:
    form, _ = made()
    rows: list[Row] = [
        {"audio": sound("abcd", rate=rate), "text": "abcd"} for rate in (16000, 44100)
    ]
    one, two = form.collate(form.features(rows))["input_features"]
    middle = slice(5, 35)  # where the tones are; the edges ring
    assert float((one - two)[:, middle].abs().mean()) < 0.02
    other = form.collate(form.features([{"audio": sound("dcba"), "text": "a"}]))["input_features"]
    assert float((one - other[0])[:, middle].abs().mean()) > 0.2


def test_sounds_that_go_on_longer_than_the_model_hears_are_refused(tmp_path: Path) -> None:
    form, _ = made()
    path = tmp_path / "long.wav"
    path.write_bytes(encoded(spelt("abcd", length=0.3), RATE))
    long = sound_of("audio", Record("row", {"audio": str(path)}), None)
    just = sound("abcd", length=0.25)
    form.features([{"audio": just, "text": "a"}])
    with pytest.raises(ConfigError, match=r'1 of 2 sounds .* than the 1 s .*long.wav", has 1.2 s'):
        form.features([{"audio": just, "text": "a"}, {"audio": long, "text": "b"}])
    far = {"audio": sound("a", length=1.5), "text": "a word"}
    with pytest.raises(ConfigError, match=r'the longest, that of "a word", has 1\.5 s'):
        form.features([far])


def test_transcripts_that_are_too_long_are_refused() -> None:
    form, _ = made()
    rows = [{"audio": sound("a"), "text": "abcdabcda"}]
    with pytest.raises(ConfigError, match=r"1 of 1 transcripts .* than 8 tokens; .* has 11") as e:
        form.features(rows)
    assert "max_target_length: 11 in a task file" in e.value.hint


def test_an_extractor_of_another_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes 20 bands of 200 frames, .* makes 20 of 100"):
        make_format(TASK, processor(), whisper(seconds=2).config)


def test_spectrograms_are_those_of_the_extractor_with_and_without_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    extractor = processor().feature_extractor
    wanted = extractor(spelt("ab"), sampling_rate=RATE, return_tensors="pt")["input_features"]
    config = whisper().config
    for room in (2**20, 0):
        monkeypatch.setattr("peftsearch.formats.shelf.ROOM", room)
        reader = SpectrogramReader(extractor, config)
        for _ in range(2):
            found = reader.batch([sound("ab")])
            assert found.shape == (1, BANDS, 100)
            torch.testing.assert_close(found, wanted)
        assert bool(len(reader._shelf)) == bool(room)


# --- language ---


def multilingual() -> tuple[Any, Any]:
    """Return a tokenizer with all languages, and the config of a model of the size to have them."""
    languages = [f"<|{code}|>" for code in LANGUAGES]
    names = ["<|startoftranscript|>", *languages, "<|translate|>", "<|transcribe|>"]
    names.append("<|notimestamps|>")
    pieces = ["<|endoftext|>", "a", *names]
    tokenizer = WhisperTokenizer(
        vocab={piece: i for i, piece in enumerate(pieces)},
        merges=[],
        additional_special_tokens=names,
    )
    config = whisper().config
    config.vocab_size, config.decoder_start_token_id = 51865, 2
    return tokenizer, config


@pytest.mark.parametrize(("language", "token"), [("en", "en"), ("french", "fr")])
def test_a_multilingual_model_is_told_the_language(language: str, token: str) -> None:
    tokenizer, config = multilingual()
    found = transcript_prefix(replace(TASK, language=language), tokenizer, config)
    pieces = ["<|startoftranscript|>", f"<|{token}|>", "<|transcribe|>", "<|notimestamps|>"]
    assert found == tokenizer.convert_tokens_to_ids(pieces)
    assert tokenizer("a")["input_ids"] == [*found, 1, 0]


def test_a_language_that_is_missing_unknown_or_beside_the_point() -> None:
    tokenizer, config = multilingual()
    with pytest.raises(ConfigError, match="does not say which language is spoken") as caught:
        transcript_prefix(TASK, tokenizer, config)
    assert "dataset.language=en" in caught.value.hint
    with pytest.raises(ConfigError, match='language "elvish" of task "spell" is not known'):
        transcript_prefix(replace(TASK, language="elvish"), tokenizer, config)
    config.vocab_size = 51864
    with pytest.raises(ConfigError, match="knows one language alone"):
        transcript_prefix(replace(TASK, language="en"), tokenizer, config)
    config.decoder_start_token_id = 9
    with pytest.raises(ConfigError, match=r"begins transcripts with token \[2\], .* with 9"):
        transcript_prefix(TASK, tokenizer, config)


def test_samples_of_two_channels_are_their_mean() -> None:
    both = np.stack([spelt("ab"), np.zeros_like(spelt("ab"))])
    given = {"array": both, "sampling_rate": RATE}
    stereo = sound_of("audio", Record("row", {"audio": given}), None)
    mono = {"array": spelt("ab") / 2, "sampling_rate": RATE}
    assert stereo == sound_of("audio", Record("row", {"audio": mono}), None)
