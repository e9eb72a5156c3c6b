"""What goes where: stdout for the result, stderr for the rest, plain text off a terminal."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from peftsearch.console import Console, to_plain
from peftsearch.progress import Progress, count, duration

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")


def test_run_without_options_is_the_built_in_default(invoke, pipeline):
    outcome = invoke("run")
    assert outcome.code == 0
    config = pipeline.calls[0][1]["config"]
    assert (config.model, config.task, config.budget) == ("micro-t5", "micro-nli", "1%")
    assert (config.space, config.preset) == ("default", "quick")
    assert str(pipeline.calls[0][1]["out"]).startswith("runs/")


def test_options_reach_the_configuration(invoke, pipeline):
    words = "run --model m --task rte --data d --budget 5k --space default --preset standard"
    words += " --exportable-to peft,merged"
    more = "--seed 4 --seeds 2 --train-rows 30 --test-rows 40 --out o --precision bf16"
    last = "--device cpu --set search.arch_lr=0.01 --set learning_rates.lora=1e-3"
    assert invoke(*words.split(), *more.split(), *last.split()).code == 0
    config = pipeline.calls[0][1]["config"]
    assert (config.model, config.task, config.data, config.budget) == ("m", "rte", "d", "5k")
    assert config.exportable_to == ("peft", "merged")
    assert (config.seed, config.seeds, config.out) == (4, 2, "o")
    assert (config.train_rows, config.test_rows) == (30, 40)
    assert (config.precision, config.device) == ("bf16", "cpu")
    assert (config.search.arch_lr, config.search.steps) == (0.01, 1600)
    assert config.learning_rates == {"lora": 0.001}


def test_human_result_on_stdout_and_progress_on_stderr(invoke, pipeline):
    outcome = invoke("run", "--out", "a")
    assert outcome.out.splitlines() == [
        "Report: a/report/report.html",
        "Found beats every baseline.",
        "accuracy on micro-nli with micro-t5, budget 2,850 parameters, head 12 apart:",
        "  found         91.0 % +- 0.4 (n = 3)  2,848 parameters",
        "  uniform-lora  90.0 % +- 1.0 (n = 3)  2,800 parameters",
        "  random-1      85.0 % (n = 1)        2,840 parameters",
        "Note: One seed only.",
        "Next:",
        "  python -c 'import peftsearch; model = peftsearch.load(\"a/export/native\")'",
        "  python -m webbrowser a/report/report.html",
    ]
    assert outcome.err.startswith("Run directory: a\nprepare: started\n")
    assert "search  2/2  train loss 0.500\n" in outcome.err
    assert outcome.err.endswith("report: done in 0 s\n")


@pytest.mark.parametrize("words", [("run", "--out", "a"), ("plan",), ("list", "tasks"), ("env",)])
def test_off_a_terminal_all_is_plain_ascii(invoke, pipeline, words):
    outcome = invoke(*words)
    assert outcome.code == 0
    assert (outcome.out + outcome.err).isascii()
    assert not CONTROL.search(outcome.out + outcome.err)


def test_quiet_prints_the_run_path_only(invoke, pipeline):
    outcome = invoke("run", "--out", "a", "--quiet")
    assert (outcome.code, outcome.out, outcome.err) == (0, "a\n", "")
    assert invoke("search", "a", "--quiet").out == "a\n"
    assert invoke("plan", "--quiet").out == "2850\n"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("run", "--out", "a"), "found"),
        (("plan",), "single_trainings"),
        (("search", "old"), "written"),
        (("export", "old", "--to", "peft", "--out", "e"), "written"),
        (("report", "old"), "written"),
        (("list", "models"), "models"),
        (("list", "methods"), "methods"),
        (("list", "tasks"), "tasks"),
        (("list", "spaces"), "spaces"),
        (("list", "exporters"), "exporters"),
        (("config", "schema"), "schema"),
        (("show", "old"), "summary"),
        (("env",), "versions"),
        (("validate", "old/config.yaml"), "files"),
    ],
)
def test_json_is_one_object_on_stdout(invoke, pipeline, words, key):
    assert invoke("run", "--out", "old").code == 0
    outcome = invoke(*words, "--json")
    assert outcome.code == 0
    data = json.loads(outcome.out)
    assert data["format_version"] == 1
    assert key in data
    assert outcome.out.count("\n") == 1


def test_stages_call_the_pipeline(invoke, pipeline):
    assert invoke("run", "--out", "old").code == 0
    for stage in ("search", "discretise", "retrain", "baselines", "report"):
        assert invoke(stage, "old").code == 0
        assert pipeline.calls[-1] == (stage, {"run_dir": Path("old")})
    assert invoke("report", "old").out == "old/report/report.html\n"
    outcome = invoke("report", "old", "--format", "svg, md")
    assert pipeline.calls[-1] == ("report", {"run_dir": Path("old"), "formats": ["svg", "md"]})
    assert outcome.out == "old/report/report.md\n"
    assert invoke("report", "old", "--format", "png,csv").out == "old/report\n"
    wrong = invoke("report", "old", "--format", "html,pgn")
    assert wrong.code == 2
    assert '--format "pgn" is not known.' in wrong.err
    assert "png" in wrong.err
    outcome = invoke("export", "old", "--to", "peft", "--out", "e")
    options = {"run_dir": Path("old"), "to": "peft", "out": Path("e")}
    assert pipeline.calls[-1] == ("export", options)
    assert outcome.out == "e\n"
    assert invoke("export", "old", "--to", "native").out == "old/export/native\n"
    Path("python").touch()
    invoke("export", "old", "--to", "peft", "--target-python", "python")
    assert pipeline.calls[-1][1]["python"] == Path("python")


def test_resume_passes_the_stored_configuration(invoke, pipeline):
    assert invoke("run", "--out", "old", "--seed", "3").code == 0
    assert invoke("run", "--resume", "old", "--seed", "3", "--device", "cpu").code == 0
    call = pipeline.calls[-1][1]
    assert (call["config"].seed, call["config"].device) == (3, "cpu")
    assert (call["out"], call["resume"]) == (None, Path("old"))


def test_plan_says_all_that_is_needed_to_decide(invoke, pipeline):
    out = invoke("plan", "--seed", "3", "--debug").out
    for text in (
        "Plan for micro-t5 on micro-nli",
        "285,000 parameters, t5, fp32",
        "default: 18 sites, 20 gates, 90 candidates, combine one",
        "2,850 parameters = 1% of 285,000",
        "cheapest non-empty 16 - largest 90,000 -> the budget binds",
        "1,000 search-train + 400 search-valid + 200 selection; ? test",
        "retrain 3 x 200",
        "9.5 single trainings",
        "memory     a step of search: ?\n",
        "frozen weights 1.1 MiB - activations ?\n             an estimate\n",
        "everything in it can be exported to peft, merged\n",
        "\n               prefix removed at 4 sites (8 candidates) for peft: PEFT has none\n",
        "native: all\n",
        "peft: not prefix; bitfit in part\n               prefix: PEFT has none\n",
        "other: nothing\n               lora: it has none\n",
        "Warning: One seed says little.",
        "Next: peftsearch run --seed 3\n",
    ):
        assert text in out


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("environ", "plain"),
    [
        ({"TERM": "xterm"}, False),
        ({"TERM": "dumb"}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True),
        ({"TERM": "xterm", "CI": "true"}, True),
    ],
)
def test_a_terminal_gets_a_live_block_unless_it_wants_none(monkeypatch, environ, plain):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name in ("CI", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**environ, "COLUMNS": "150"}.items():
        monkeypatch.setenv(name, value)
    console = Console(environ=environ)
    assert console.plain is plain
    search = {
        "stage": "search",
        "event": "step",
        "steps": 100,
        "valid_loss": 0.41,
        "limit": 2230000,
    }
    with Progress(console) as progress:
        progress({"stage": "prepare", "event": "finish", "seconds": 1.0})
        for step in (1, 50, 100):
            progress({**search, "step": step, "expected_cost": 2.31e6, "entropy": 1.2})
        time.sleep(0 if plain else 0.6)  # The block is drawn four times a second.
        progress({"stage": "search", "event": "skip"})
        progress({"stage": "search", "event": "note", "text": "done, 100 % ✓"})
    assert (CONTROL.search(terminal.text) is None) is plain
    assert ("✓ prepare" in terminal.text) is not plain
    assert "2.31 M / 2.23 M" in terminal.text
    if plain:
        assert terminal.text.isascii()


def test_plain_lines_come_every_few_seconds_with_the_time_left(capsys):
    now = [0.0]
    progress = Progress(Console(environ={}), clock=lambda: now[0])
    with progress:
        for step in range(1, 41):
            now[0] += 1
            progress(
                {"stage": "retrain", "name": "seed-0", "event": "step", "step": step, "steps": 60}
            )
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 8
    assert lines[0] == "retrain seed-0  1/60"
    assert lines[1] == "retrain seed-0  6/60  54 s left"


def test_numbers_for_humans():
    assert [count(n) for n in (96, 9216, 231000, 2229035, 3e9)] == [
        "96",
        "9,216",
        "231 k",
        "2.23 M",
        "3.00 G",
    ]
    assert [duration(s) for s in (12, 360, 7500)] == ["12 s", "6 min", "2 h 05 min"]
    assert to_plain("✓ a ± b…\x1b[1m\u00fc") == "ok a +- b...[1m\u00fc"


def test_stdout_that_cannot_hold_a_letter_still_gets_the_path(invoke, pipeline, monkeypatch):
    class Ascii(Terminal):
        encoding = "ascii"

    stream = Ascii()
    monkeypatch.setattr("sys.stdout", stream)
    Console(quiet=True).result([], brief="runs/ü")
    assert stream.text == "runs/\\xfc\n"
