"""The command as a process of its own: what it imports, and how it behaves in a pipe."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

WITHOUT_TORCH = """
import sys
sys.argv = ["peftsearch", *sys.argv[1:]]
from peftsearch.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code or 0
heavy = sorted({"torch", "transformers", "datasets", "sklearn", "pandas"} & set(sys.modules))
sys.exit(f"imported {heavy}" if heavy else code)
"""


def call(code: str, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environ},
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("run", "--help"),
        ("list", "tasks"),
        ("list", "methods"),
        ("list", "spaces"),
        ("list", "models"),
        ("list", "exporters"),
        ("list", "strategies"),
        ("list", "tables"),
        ("bench", "--help"),
    ],
)
def test_looking_imports_nothing_heavy(words):
    done = call(WITHOUT_TORCH, *words)
    assert (done.returncode, done.stderr) == (0, "")


def test_refusing_imports_nothing_heavy(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("sedd: 1\nseed: 1")
    for words in (
        ("validate", str(path)),
        ("show", str(path)),
        ("run", "--budget", "1"),
        ("bench", "--table", "no"),
    ):
        done = call(WITHOUT_TORCH, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("Error: ")


def test_importing_the_environment_imports_no_torch():
    code = "import sys, peftsearch.environment; sys.exit('torch' in sys.modules)"
    assert call(code).returncode == 0


def test_the_module_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "peftsearch", "run", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: peftsearch run")
    assert done.stdout.isascii()
    options = (
        "--model --task --data --space --budget --preset --seed --seeds --train-rows --test-rows "
        "--config --set --out --resume --json --quiet --debug --precision --device"
    )
    for option in options.split():
        assert option in done.stdout
