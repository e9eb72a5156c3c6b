"""``plan --devices --trials`` as a command."""

from __future__ import annotations

import json

from tests.cli.conftest import Invoke, Pipeline
from tests.scaling.test_scaling import finished


def test_without_a_measurement_it_says_how_to_get_one(pipeline: Pipeline, invoke: Invoke) -> None:
    done = invoke("plan", "--devices", "64", "--trials", "500", "--seed", "3")
    assert done.code == 0
    assert "500 trials on 64 devices: the time is not known before" in done.out
    again = "peftsearch plan --devices 64 --trials 500 --seed 3"
    assert f"{again} --measure\n" in done.out
    assert f"{again} --measured RUN\n" in done.out
    assert done.out.rstrip().endswith("Next: peftsearch run --seed 3")


def test_with_a_measured_run(pipeline: Pipeline, invoke: Invoke, tmp_path) -> None:
    finished(tmp_path / "run", 70.0)
    words = ("plan", "--devices", "4", "--trials", "10", "--measured", "run")
    done = invoke(*words)
    assert "10 trials on 4 devices, 4 at once" in done.out
    assert "wall time 4 min (3 min to 4 min)" in done.out  # 3 rounds; 175 s; 227.5 s
    assert "0.19 device hours" in done.out
    data = json.loads(invoke(*words, "--json").out)
    assert data["scale"]["wall_seconds"] == 210.0
    assert data["budget"]["limit"] == 2850
    assert invoke(*words, "--quiet").out == "2850\n"


def test_a_plan_of_one_run_is_as_it_was(pipeline: Pipeline, invoke: Invoke) -> None:
    assert "scale" not in json.loads(invoke("plan", "--json").out)


def test_what_does_not_go_together_is_refused(pipeline: Pipeline, invoke: Invoke) -> None:
    done = invoke("plan", "--trials", "2", "--measure", "--measured", "run")
    assert done.code == 2
    assert "cannot be given together" in done.err
    assert invoke("plan", "--trials", "2", "--measured", "nowhere").code == 2
