"""A run that is stopped anywhere and resumed ends as one that never stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from peftsearch import pipeline
from peftsearch.errors import BudgetError, ConfigError, PeftSearchError, StoppedError
from tests.pipeline.material import Material, write_rows

Event = dict[str, Any]
TWICE = {"seeds": 2}


def outcome(run: Path) -> dict[str, Any]:
    """Return all that a run decided and measured, without times."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = path.relative_to(run).as_posix()
        if path.name.endswith("metrics.json") or name in ("race.json", "architecture.json"):
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.name in ("alphas.jsonl", "measured.json", "space.json"):
            found[name] = path.read_text()
        elif path.suffix == ".safetensors":
            found[name] = {key: t.tolist() for key, t in load_file(path).items()}
    return found


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if k != "seconds"}
    return [_timeless(v) for v in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def uninterrupted(material: Material, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the short run decides when nothing stops it."""
    with pytest.MonkeyPatch.context() as patch:
        from peftsearch import baselines

        patch.setattr("peftsearch.report.write_report", lambda path: None)
        patch.setattr(baselines, "UNIFORM", {"uniform-lora": "lora"})
        out = tmp_path_factory.mktemp("runs") / "uninterrupted"
        pipeline.run(material.config(search=TWICE), out=out)
    return outcome(out)


def _stopping(
    stage: str, step: int, name: str = "", event: str = "step"
) -> Callable[[Event], None]:
    """Return a listener that sends this process a real SIGTERM, once, at a certain event."""
    sent: list[bool] = []

    def listen(record: Event) -> None:
        here = record["stage"] == stage and record["event"] == event
        here = here and record.get("step", step) == step and name in record.get("name", "")
        if here and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGTERM)

    return listen


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "places",
    [
        [("search", 1), ("search", 5), ("search", 8), ("search", 5, "seed 1"), ("retrain", 3)],
        [
            ("discretise", 2, "", "measure"),
            ("discretise", 1, "gates-1"),
            ("discretise", 1, "gates-2"),
            ("discretise", 3),
        ],
        [("retrain", 5), ("baselines", 2, "random"), ("search", 4)],
        [("prepare", 0, "", "start"), ("discretise", 0, "", "finish"), ("export", 0, "", "start")],
    ],
    ids=["search", "race", "retraining", "between stages"],
)
def test_stopped_and_resumed(
    places: list[tuple[Any, ...]], material: Material, tmp_path: Path, uninterrupted: Any
) -> None:
    out = tmp_path / "run"
    order = ["prepare", "search", "discretise", "retrain", "baselines", "export"]
    for number, place in enumerate(sorted(places, key=lambda p: order.index(p[0]))):
        with pytest.raises(StoppedError) as stopped:
            _go_on(material, out, number, _stopping(*place))
        assert stopped.value.exit_code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    _go_on(material, out, len(places), None)
    found = outcome(out)
    assert list(found) == list(uninterrupted)
    for name, value in uninterrupted.items():
        assert found[name] == value, name


def _go_on(
    material: Material, out: Path, number: int, listener: Callable[[Event], None] | None
) -> None:
    resume = out if number else None
    new = None if number else out
    pipeline.run(material.config(search=TWICE), out=new, resume=resume, listener=listener)


_CHILD = """
import sys
from pathlib import Path
from peftsearch import baselines, errors, pipeline, report
from tests.pipeline.material import Material
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
report.write_report = lambda path: None
baselines.UNIFORM = {"uniform-lora": "lora"}
material = Material(folder / "t5", folder / "bert", folder / "data", folder / "few.yaml")
resume = (out / "config.yaml").is_file()
try:
    config = material.config(search={"seeds": 2})
    pipeline.run(config, **{"resume" if resume else "out": out})
except errors.PeftSearchError as error:
    sys.exit(error.exit_code)
"""


@pytest.mark.usefixtures("short")
def test_killed_without_warning(material: Material, tmp_path: Path, uninterrupted: Any) -> None:
    """SIGKILL in the search, then SIGTERM in the retraining, of a process of its own."""
    out = tmp_path / "run"
    words = [sys.executable, "-c", _CHILD, str(material.t5.parent), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for stage, step, number in (("search", 5, signal.SIGKILL), ("retrain", 2, signal.SIGTERM)):
        with subprocess.Popen(words, env=environment) as child:
            _wait(out / "events.jsonl", stage, step, child)
            child.send_signal(number)
            code = child.wait(400)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
    assert not (out / "summary.json").exists()
    pipeline.run(material.config(search=TWICE), resume=out)
    found = outcome(out)
    for name, value in uninterrupted.items():
        assert found[name] == value, name
    steps = [
        record["step"]
        for record in map(json.loads, (out / "events.jsonl").read_text().splitlines())
        if record["stage"] == "search" and record["event"] == "step"
    ]
    assert steps[-1] == 8


def _wait(events: Path, stage: str, step: int, child: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 400
    while time.monotonic() < end:
        lines = events.read_text().splitlines() if events.exists() else []
        for line in lines:
            if line.endswith("}"):
                record = json.loads(line)
                if (record["stage"], record.get("step")) == (stage, step):
                    return
        assert child.poll() is None, "the run ended too early"
        time.sleep(0.01)
    raise AssertionError("the run is too slow")


@pytest.mark.usefixtures("short")
def test_other_data_on_resume_are_refused(tmp_path: Path, material: Material) -> None:
    out, data = tmp_path / "run", tmp_path / "data"
    write_rows(data)
    config = material.config(data=str(data))
    with pytest.raises(StoppedError):
        pipeline.run(config, out=out, listener=_stopping("search", 2))
    write_rows(data, seed=1)
    with pytest.raises(ConfigError, match="data have changed"):
        pipeline.run(config, resume=out)
    write_rows(data)
    with pytest.raises(StoppedError):  # the old rows again: it goes on
        pipeline.run(config, resume=out, listener=_stopping("search", 4))


@pytest.mark.slow
def test_a_report_in_between_changes_nothing(
    material: Material, tmp_path: Path, finished: Path
) -> None:
    """Made beside the running run, which holds the lock, and made without torch."""
    out = tmp_path / "run"
    made = []

    def listen(record: dict[str, Any]) -> None:
        if (record["stage"], record["event"]) == ("retrain", "finish"):
            code = (
                "import sys; from peftsearch.pipeline import run_stage; from pathlib import Path;"
                f"run_stage('report', Path({str(out)!r})); assert 'torch' not in sys.modules"
            )
            subprocess.run([sys.executable, "-c", code], check=True)
            made.append((out / "summary.json").exists())
            assert (out / "report/report.html").stat().st_size > 10_000

    pipeline.run(material.config(), out=out, listener=listen)
    assert made == [False]  # nothing to compare with yet
    assert outcome(out) == outcome(finished)


def test_a_stage_that_cannot_be_done_again_stays_done(
    finished: Path, material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished, out)
    text = (out / "config.yaml").read_text()
    (out / "config.yaml").write_text(text.replace(str(material.data), str(tmp_path / "gone")))
    before = json.loads((out / "manifest.json").read_text())["stages"]
    with pytest.raises(PeftSearchError):
        pipeline.run_stage("retrain", out)
    assert json.loads((out / "manifest.json").read_text())["stages"] == before


def test_a_run_that_cannot_begin_leaves_nothing(material: Material, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with pytest.raises(BudgetError):
        pipeline.run(material.config(budget="3"), out=out)
    assert not out.exists()
