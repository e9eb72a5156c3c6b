"""A headless Chromium, and the synthetic runs of the unit tests."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from peftsearch.compare import compare
from tests.unit.report import factory
from tests.unit.report.written import written

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


@dataclass(frozen=True)
class Browser:
    """Chromium from the command line, each time with a fresh profile.

    Attributes:
        program: Path of the program.
    """

    program: str

    def call(self, page: Path, *options: str) -> str:
        """Open a page; return what goes to stdout, then what goes to stderr."""
        with tempfile.TemporaryDirectory() as profile:
            done = subprocess.run(
                [self.program, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
        return done.stdout + done.stderr

    def measure(self, page: Path, width: int, folder: Path) -> dict[str, Any]:
        """Open a page in a frame of one width, and measure it from outside.

        The frame, not the window, has the width: headless windows have a least width of their
        own. The page itself stays as it is, so that its content policy and its lack of scripts
        are what is tested.
        """
        harness = folder / f"harness-{width}.html"
        source = html.escape(page.read_text(encoding="utf-8"), quote=True)
        script = MEASURE.replace("WIDTH", str(width))
        harness.write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><pre id="result"></pre>'
            f'<iframe id="frame" style="border:0;width:{width}px;height:900px" '
            f'srcdoc="{source}"></iframe><script>{script}</script>',
            encoding="utf-8",
        )
        dom = self.call(harness, "--dump-dom", "--virtual-time-budget=8000")
        found = re.search(r'<pre id="result">(.+?)</pre>', dom, re.DOTALL)
        assert found is not None, dom[:500]
        result: dict[str, Any] = json.loads(html.unescape(found.group(1)))
        return result

    def audit(self, page: Path, axe: Path, folder: Path, *, dark: bool) -> list[dict[str, Any]]:
        """Let axe-core look at a page with everything unfolded; return what it finds wrong.

        Nothing is scrolled out of sight, where the contrast of a cell could not be measured. In a
        copy without the content policy, which would keep out axe as well.
        """
        copy = folder / f"audit-{page.parent.parent.name}-{dark}.html"
        source = POLICY.sub("", page.read_text(encoding="utf-8"))
        assert source.count("</body>") == 1
        open_wide = "<style>.scroll { overflow: visible !important; }</style>"
        script = f'{open_wide}<script src="{axe.as_uri()}"></script><script>{AUDIT}</script></body>'
        copy.write_text(source.replace("</body>", script), encoding="utf-8")
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        dom = self.call(
            copy, "--dump-dom", "--virtual-time-budget=60000", "--window-size=1600,1200", scheme
        )
        found = re.search(r'<pre id="axe-result">(.+?)</pre>', dom, re.DOTALL)
        assert found is not None, dom[-500:]
        result: list[dict[str, Any]] = json.loads(html.unescape(found.group(1)))
        return result


POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
AUDIT = """
for (const details of document.querySelectorAll("details")) details.open = true;
axe.run(document, {resultTypes: ["violations", "incomplete"]}).then((seen) => {
  const rows = [...seen.violations, ...seen.incomplete].map((rule) => ({
    id: rule.id, help: rule.help, passes: seen.passes.length,
    places: rule.nodes.slice(0, 3).map((node) => node.html.slice(0, 200)),
  }));
  const result = document.createElement("pre");
  result.id = "axe-result";
  const passed = {id: "passes", places: seen.passes.map((rule) => rule.id)};
  result.textContent = JSON.stringify([...rows, passed]);
  document.body.append(result);
});
"""

MEASURE = """
const frame = document.getElementById("frame");
frame.addEventListener("load", () => {
  const view = frame.contentWindow, page = frame.contentDocument;
  const all = [...page.querySelectorAll("body *")];
  const inside = (e) => e.closest(".scroll, .skip") !== null;
  const wide = all.filter((e) => !inside(e) && e.getBoundingClientRect().right > WIDTH + 0.5);
  document.getElementById("result").textContent = JSON.stringify({
    width: page.documentElement.scrollWidth,
    body: page.body.scrollWidth,
    wide: wide.slice(0, 5).map((e) => e.tagName + "." + e.className),
    height: page.documentElement.scrollHeight,
    images: [...page.images].map((i) => i.naturalWidth),
    scripts: page.scripts.length,
    pwned: view.pwned === undefined && window.pwned === undefined ? "" : "executed",
    loaded: view.performance.getEntriesByType("resource").map((r) => r.name)
      .filter((n) => !n.startsWith("data:")),
  });
});
"""


@pytest.fixture(scope="session")
def browser() -> Browser:
    """A Chromium on PATH; without one the test is skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium on PATH; on Debian: apt-get install chromium")
    return Browser(program)


@pytest.fixture(scope="session")
def axe() -> Path:
    """The axe-core that ``make axe`` fetches, or the one that ``PEFTSEARCH_AXE`` names."""
    named = os.environ.get("PEFTSEARCH_AXE")
    path = Path(named) if named else Path(__file__).parents[2] / ".axe" / "axe.min.js"
    if not path.is_file():
        pytest.skip("no axe-core; fetch it from npm: make axe")
    return path.absolute()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the report of a synthetic run by name; ``compared`` is that of several runs."""

    @cache
    def make(name: str) -> Path:
        if name == "compared":
            root = tmp_path_factory.mktemp(name)
            runs = [factory.ALL[each](root / each) for each in ("finished", "hostile", "one_seed")]
            return compare(runs, root / "comparison")
        return written(tmp_path_factory, name) / "report" / "report.html"

    return make


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: ``REPORT_SHOTS``, to look at them, else a temporary folder."""
    wanted = os.environ.get("REPORT_SHOTS")
    return Path(wanted) if wanted else tmp_path_factory.mktemp("shots")
