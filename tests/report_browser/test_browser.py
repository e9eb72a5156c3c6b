"""The report in a real browser: it fits, it renders, nothing runs and nothing is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from .conftest import Browser

pytestmark = pytest.mark.browser
Page = Callable[[str], Path]
RUNS = (
    "finished",
    "unfinished",
    "one_seed",
    "encoder_only",
    "many",
    "several",
    "hostile",
    "compared",
)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("run", RUNS)
def test_fits_and_renders(
    browser: Browser, page: Page, tmp_path: Path, run: str, width: int
) -> None:
    """No horizontal overflow; every image decodes; nothing executes; nothing is requested."""
    seen = browser.measure(page(run), width, tmp_path)
    assert seen["width"] <= width, seen["wide"]
    assert seen["body"] <= width, seen["wide"]
    assert seen["wide"] == []
    assert seen["height"] > 1500
    assert seen["images"]
    assert min(seen["images"]) > 300
    assert seen["scripts"] == 0
    assert seen["pwned"] == ""
    assert seen["loaded"] == []


@pytest.mark.parametrize("run", ["finished", "hostile"])
def test_the_console_stays_silent(browser: Browser, page: Page, run: str) -> None:
    """No message of the page, e.g. of its content policy, reaches the browser's log."""
    log = browser.call(page(run), "--dump-dom", "--enable-logging=stderr", "--v=0")
    assert "CONSOLE" not in log


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("run", RUNS)
def test_axe_finds_nothing(
    browser: Browser, page: Page, axe: Path, tmp_path: Path, run: str, dark: bool
) -> None:
    """Contrast, headings, landmarks, tables and names, as axe-core checks them."""
    *wrong, passed = browser.audit(page(run), axe, tmp_path, dark=dark)
    assert wrong == []
    assert {"color-contrast", "heading-order", "image-alt", "region"} <= set(passed["places"])


def test_both_colour_schemes_paint(browser: Browser, page: Page, shots: Path) -> None:
    """The light page has a light ground and the dark page a dark one; neither is empty."""
    grounds = []
    for scheme, setting in (("light", 1), ("dark", 0)):
        path = shots / f"finished-{scheme}.png"
        preference = f"--blink-settings=preferredColorScheme={setting}"
        browser.call(
            page("finished"), "--window-size=1280,1600", f"--screenshot={path}", preference
        )
        with Image.open(path) as image:
            grey = image.convert("L")
            grounds.append(grey.getpixel((5, 1500)))
            assert len(grey.getcolors() or ()) > 50
    assert grounds[0] > 230
    assert grounds[1] < 40
