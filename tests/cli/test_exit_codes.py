"""Every exit code of the contract, and what is said with it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from peftsearch.errors import (
    BudgetError,
    ConfigError,
    DivergedError,
    ExportError,
    MissingError,
    StoppedError,
)

RUN = ("run", "--out", "a")


class GatedRepoError(OSError):
    """Stands for the class of the same name in huggingface_hub."""


class OutOfMemoryError(RuntimeError):
    """Stands for the class of the same name in torch."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("Wrong.", "peftsearch fix"), 2),
        (MissingError("Wrong.", "peftsearch fix"), 3),
        (BudgetError("Wrong.", "peftsearch fix"), 4),
        (DivergedError("Wrong.", "peftsearch fix"), 5),
        (ExportError("Wrong.", "peftsearch fix"), 6),
    ],
)
@pytest.mark.parametrize("words", [RUN, ("plan",), ("search", "old"), ("run", "--resume", "old")])
def test_known_errors(invoke, pipeline, error, code, words):
    assert invoke("run", "--out", "old").code == 0
    pipeline.fail = error
    outcome = invoke(*words, "--quiet")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err == "Error: Wrong.\n  peftsearch fix\n"


@pytest.mark.parametrize(("number", "code"), [(2, 130), (15, 143)])
def test_stopped_prints_the_command_that_continues(invoke, pipeline, number, code):
    pipeline.fail = StoppedError(number, "Stopped at search step 1,243; saved.")
    outcome = invoke("run", "--out", "my run")
    assert (outcome.code, outcome.out) == (code, "")
    assert outcome.err.endswith(
        "Stopped at search step 1,243; saved. Continue with:\n  peftsearch run --resume 'my run'\n"
    )
    pipeline.fail = None
    assert invoke("run", "--resume", "my run").code == 0


def test_ctrl_c_outside_the_loops(invoke, pipeline):
    pipeline.fail = KeyboardInterrupt()
    outcome = invoke(*RUN)
    assert outcome.code == 130
    assert outcome.err.endswith("peftsearch run --resume a\n")
    assert invoke("plan").code == 130


def test_a_bug_is_one_and_leaves_its_traceback(invoke, pipeline):
    pipeline.fail = ZeroDivisionError("oh\nno")
    outcome = invoke(*RUN)
    assert (outcome.code, outcome.out) == (1, "")
    log = Path("a", "log.txt")
    assert (
        f"Error: unexpected ZeroDivisionError: oh no\n  The traceback is in {log}." in outcome.err
    )
    assert "Traceback" not in outcome.err
    assert "$ peftsearch run --out a\nTraceback" in log.read_text()
    assert invoke("run", "--resume", "a").code == 1
    assert log.read_text().count("Traceback") == 2


def test_a_bug_without_a_run_directory_points_at_debug(invoke, pipeline, monkeypatch):
    pipeline.fail = ZeroDivisionError("oh")
    outcome = invoke("plan")
    assert outcome.code == 1
    assert "--debug" in outcome.err
    assert "Traceback" not in outcome.err
    assert "Traceback" in invoke("plan", "--debug").err
    monkeypatch.setenv("PEFTSEARCH_DEBUG", "1")
    assert "Traceback" in invoke("plan").err


def test_debug_shows_the_traceback_of_known_errors_too(invoke, pipeline):
    pipeline.fail = MissingError("Wrong.")
    outcome = invoke("plan", "--debug")
    assert outcome.code == 3
    assert "Traceback" in outcome.err


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (GatedRepoError("t5 is gated\nmore"), 3, "terms first: t5 is gated\n  Accept its terms"),
        (ConnectionError("refused"), 3, "no connection: refused\n  Check the connection"),
        (OutOfMemoryError("CUDA"), 3, "--gradient-checkpointing"),
        (OSError(errno.ENOSPC, "full", "/x"), 3, "no space is left on /x."),
        (PermissionError(errno.EACCES, "no", "/x"), 2, "/x may not be read or written."),
        (ModuleNotFoundError("peft", name="peft.tuners"), 3, "peft is not installed.\n  pip insta"),
        (ModuleNotFoundError("own", name="peftsearch_own"), 1, "unexpected ModuleNotFoundError"),
    ],
)
def test_errors_of_libraries_become_sentences(invoke, pipeline, error, code, text):
    pipeline.fail = error
    outcome = invoke("plan")
    assert outcome.code == code
    assert text in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("run", "--bugdet", "1%"), "--budget"),
        (("rnu",), "run"),
        (("run", "--seeds", "many"), "--seeds"),
        (("export", "old"), "--to"),
        (("validate",), "FILE"),
        (("run", "--task", "rt"), 'task "rt" is not known.'),
        (("run", "--set", "search.stepz=1"), 'Did you mean "search.steps"?'),
        (("plan", "--precision", "fp16"), "Use --precision bf16"),
        (("run", "--config", "no.yaml"), "no.yaml does not exist."),
        (("run", "--resume", "no"), "no is not a run directory"),
        (("run", "--resume", "old", "--seed", "5"), "seed: the run has 0, asked for is 5"),
        (("run", "--resume", "old", "--out", "b"), "cannot be given together"),
        (("run", "--out", "old"), "peftsearch run --resume old"),
        (("plan", "--out", "old"), "old is not empty."),
        (("export", "old", "--to", "pfet"), 'Did you mean "peft"?'),
        (("plan", "--exportable-to", "native,pfet"), 'exportable_to "pfet" is not known.'),
        (("run", "--exportable-to", "native,pfet"), 'Did you mean "peft"?'),
        (("export", "old", "--to", "peft", "--target-python", "no"), "no does not exist"),
        (("export", "a.json", "--to", "peft", "--untrained"), "--out DIR"),
        (("search", "no"), "no is not a run directory"),
        (("list", "taks"), 'Did you mean "tasks"?'),
        (("show", "no"), "no does not exist."),
    ],
)
def test_wrong_usage_is_two(invoke, pipeline, words, text):
    assert invoke("run", "--out", "old").code == 0
    calls = len(pipeline.calls)
    before = sorted(Path().rglob("*"))
    outcome = invoke(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert text in outcome.err
    assert len(pipeline.calls) == calls
    assert sorted(Path().rglob("*")) == before


def test_nothing_written_leaves_no_directory(invoke, pipeline, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise MissingError("No such model.")

    monkeypatch.setattr("peftsearch.pipeline.run", refuse)
    assert invoke(*RUN).code == 3
    assert not Path("a").exists()


def test_no_command_is_two_with_the_help(invoke):
    outcome = invoke()
    assert outcome.code == 2
    assert "Usage" in outcome.out + outcome.err
