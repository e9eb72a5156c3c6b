"""Colours, letters and words: what can be tested of a figure without looking at it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest

from peftsearch.catalogue import method_facts
from peftsearch.report import canvas, figure_values, wording
from peftsearch.report.figure_search import apart
from peftsearch.report.palette import linear, rgb, styles

Array = npt.NDArray[np.float64]
# Machado, Oliveira and Fernandes 2009, severity 1, on linear light.
SIGHTS = {
    "normal": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colour: str, sight: str) -> Array:
    """CIE L*a*b* of a colour as one kind of sight sees it."""
    light = np.array([linear(channel / 255) for channel in rgb(colour)])
    seen = np.clip(np.array(SIGHTS[sight]) @ light, 0, 1)
    xyz = np.array(TO_XYZ) @ seen / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def registered() -> list[str]:
    """Registered methods that insert something."""
    return [name for name in method_facts() if name != "none"]


@pytest.mark.parametrize("sight", SIGHTS)
def test_methods_stay_apart_for_every_sight(sight: str) -> None:
    colours = [style.colour for style in styles(registered()).values()]
    pairs = itertools.combinations([lab(colour, sight) for colour in colours], 2)
    assert min(float(np.linalg.norm(a - b)) for a, b in pairs) >= 15


@pytest.mark.parametrize("sight", SIGHTS)
def test_what_is_found_stays_apart_from_the_rest_for_every_sight(sight: str) -> None:
    colours = (figure_values._FOUND, figure_values._OTHER, figure_values._ESTIMATE)
    pairs = itertools.combinations([lab(colour, sight) for colour in colours], 2)
    assert min(float(np.linalg.norm(a - b)) for a, b in pairs) >= 15


def test_no_two_methods_share_a_letter_or_a_hatch() -> None:
    looks = styles([*registered(), "lohan", "lokr", "adagrad"])
    assert len({look.letter for look in looks.values()}) == len(looks)
    known = styles(registered())
    assert len({look.hatch for look in known.values()}) == len(known)


def test_letters_read_on_their_colour() -> None:
    for look in styles(registered()).values():
        light = [linear(c / 255) for c in rgb(look.colour)]
        ground = float(np.dot([0.2126, 0.7152, 0.0722], light))
        ink = 1.0 if look.text == "#ffffff" else 0.0
        high, low = max(ground, ink), min(ground, ink)
        assert (high + 0.05) / (low + 0.05) >= 4.5


def test_fonts_are_large_enough() -> None:
    sizes = [v for k, v in canvas._SETTINGS.items() if k.endswith("size")]
    assert min(sizes) >= 9


def test_labels_move_apart_and_keep_their_order() -> None:
    ends = {"a": 0.02, "b": 0.03, "c": 0.5, "d": 0.51}
    moved = apart(ends, 0.1)
    assert sorted(moved, key=lambda k: moved[k]) == ["a", "b", "c", "d"]
    heights = sorted(moved.values())
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(heights))
    assert moved["c"] == pytest.approx(0.455)
    assert apart({}, 0.1) == {}


def test_names_in_figures_are_one_short_line() -> None:
    assert canvas.name_text("a\u202e\nb" + "x" * 90, 10) == "a bxxxxxx\u2026"
    assert canvas.name_text("\u4e2d") == "?"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (768, "768"), (999, "999"), (24576, "24.6k"), (884736, "885k"), (2.2e6, "2.2M")],
)
def test_short_numbers(value: float, text: str) -> None:
    assert wording.short(value) == text


def test_scores_in_words() -> None:
    assert wording.spread(0.7124, 0.0101, "accuracy") == "71.2 % \u00b1 1.0"
    assert wording.spread(0.7124, None, "pearson") == "0.712"
    assert wording.score(math.nan, "f1") == wording.NOTHING
    assert wording.difference(-0.012, "accuracy") == "-1.2"


@pytest.mark.parametrize(
    ("value", "text"), [(0.42, "0.4 s"), (59.7, "60 s"), (185, "3 min 05 s"), (8040, "2 h 14 min")]
)
def test_durations(value: float, text: str) -> None:
    assert wording.seconds(value) == text


def test_text_that_utf8_cannot_hold_is_replaced() -> None:
    assert wording.valid("a\ud800b") == "a?b"
