"""The file of a sweep: how many runs it makes, what they are called, and what is refused."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from peftsearch.config import RunConfig, resolve, to_mapping
from peftsearch.errors import ConfigError
from peftsearch.rundir import write_json
from peftsearch.sweep.spec import Sweep, read_sweep

Read = Callable[..., Sweep]
AXES: dict[str, list[Any]] = {
    "task": ["micro-nli", "micro-rewrite"],
    "budget": ["1%", "2%", 1000],
    "seed": [0, 1, 2],
    "search.steps": [10, 20],
}


def read_text(path: Path, text: str) -> Sweep:
    path.write_text(text)
    return read_sweep(path)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def call(**content: Any) -> Sweep:
        file = tmp_path / "sweep.yaml"
        return read_text(file, yaml.safe_dump({"name": "s", **content}, sort_keys=False))

    return call


def problems(read: Read, **content: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(**content)
    return [f"{one.message} {one.hint}" for one in caught.value.problems]


@st.composite
def matrices(draw: st.DrawFn) -> dict[str, list[Any]]:
    names = draw(st.lists(st.sampled_from(sorted(AXES)), unique=True, min_size=1))
    return {n: draw(st.permutations(AXES[n]))[: draw(st.integers(1, len(AXES[n])))] for n in names}


@given(matrix=matrices(), data=st.data())
def test_the_product_without_what_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, matrix: dict[str, list[Any]], data: st.DataObject
) -> None:
    """Counts, names and values against a product made here."""
    every = [
        dict(zip(matrix, values, strict=True)) for values in itertools.product(*matrix.values())
    ]
    gone = data.draw(st.sampled_from(every))
    names = data.draw(st.lists(st.sampled_from(sorted(matrix)), unique=True, min_size=1))
    rule = {name: gone[name] for name in names}
    left = [one for one in every if any(one[name] != rule[name] for name in names)]
    content = {"name": "s", "matrix": matrix, "exclude": [rule]}
    file = tmp_path_factory.mktemp("s") / "sweep.yaml"
    if not left:
        with pytest.raises(ConfigError, match="describes no run"):
            read_text(file, yaml.safe_dump(content, sort_keys=False))
        return
    points = read_text(file, yaml.safe_dump(content, sort_keys=False)).points
    assert len({point.name for point in points}) == len(points) == len(left)
    for point, wanted in zip(points, left, strict=True):
        assert point.labels == {name: str(value) for name, value in wanted.items()}
        config = to_mapping(point.config)
        for name, value in wanted.items():
            section, _, key = name.rpartition(".")
            seen = config[section][key] if section else config[key]
            assert seen == (str(value) if name == "budget" else value)


def test_common_preset_set_and_include(read: Read) -> None:
    groups = {"short": {"search": {"steps": 7}, "trainings": 2}, "long": {"search.steps": 99}}
    sweep = read(
        common={"preset": "standard", "seeds": 2, "learning_rates": {"lora": 0.5}},
        matrix={"seed": [3], "set": groups},
        include=[{"seed": 9, "set": "short", "name": "extra"}, {"model": "micro-bert"}],
    )
    configs = [point.config for point in sweep.points]
    assert [(c.seed, c.search.steps, c.seeds) for c in configs[:3]] == [
        (3, 7, 2),
        (3, 99, 2),
        (9, 7, 2),
    ]
    assert configs[3].model == "micro-bert"
    assert configs[3].search == resolve(flags={"preset": "standard"}).search != RunConfig().search
    assert all(c.learning_rates == {"lora": 0.5} for c in configs)
    names = [point.name.rpartition("-")[0] for point in sweep.points]
    assert names == ["seed-3_short", "seed-3_long", "extra", "micro-bert"]
    assert sweep.points[3].labels == {"seed": "0", "model": "micro-bert"}


def test_a_name_stands_for_the_configuration_alone(read: Read) -> None:
    """Not for the place of a key, nor for values that are the built-in ones anyway."""

    def digests(**content: Any) -> list[str]:
        return [point.digest for point in read(**content).points]

    first = digests(matrix={"budget": ["1%", "2%"], "seed": [0]})
    assert digests(common={"seed": 0, "device": "cpu"}, matrix={"budget": ["1%", "2%"]}) == first
    assert digests(matrix={"budget": ["2%", "1%"]}) == first[::-1]
    other = digests(matrix={"budget": ["1%", "2%"]}, common={"retrain": {"steps": 7}})
    assert len({*first, *other}) == 4


def test_every_problem_at_once(read: Read, tmp_path: Path) -> None:
    said = problems(
        read,
        name="no spaces, please",
        comon={},
        seeds=3,
        common={"search": {"stps": 3}, "out": "elsewhere", "seed": -1},
        matrix={
            "task": ["micro-nli", "micro-nil"],
            "bugdet": [1],
            "seed": 3,
            "search": {"steps": [1, 1]},
            "set": {"a": {"seeds": "x"}},
        },
        exclude=[{"task": "micro-rewrite"}, {"tsak": 3}],
        include={"seed": 3},
    )
    parts = (
        'name must be of letters, digits, points and dashes, not "no spaces, please"',
        'unknown key "comon". Did you mean "common"?',
        'unknown key "seeds". It is a key of runs: put it under "common"',
        'common: unknown key "search.stps". Did you mean "search.steps"?',
        "common: seed must be at least 0, not -1",
        "common: out is not for a sweep",
        'matrix: task "micro-nil" is not known. Did you mean "micro-nli"?',
        'matrix: unknown key "bugdet". Did you mean "budget"?',
        "matrix: seed must be a list of values, not 3. Example: seed: [3]",
        "matrix: search.steps has 1 twice",
        'matrix: set: a: seeds must be a whole number, not "x"',
        'exclude 1: task is never "micro-rewrite" in the matrix',
        'exclude 2: "tsak" is no line of the matrix. Did you mean "task"?',
        "include must be a list of mappings",
    )
    missing = [part for part in parts if not any(part in one for one in said)]
    assert not missing
    assert len(said) == len(parts)


def test_problems_of_single_runs_are_told_once_with_the_first_run(read: Read) -> None:
    said = problems(
        read,
        common={"search": {"temperature_start": 0.1}},
        matrix={"space": ["default", "nowhere.yaml"], "seed": [0, 1]},
    )
    assert len(said) == 2
    assert "default_seed-0 and 3 more: search.temperature_end (0.5) is above" in said[0]
    assert "nowhere_seed-0 and 1 more: " in said[1]


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"matrix": {"seed": [1, 2]}, "include": [{"seed": 2}]}, "are the same run"),
        ({"matrix": {"seed": [1], "set": {"a": {"seed": 2}}}}, "seed is set by seed and by set"),
        ({"common": {"seed": 3}}, "describes no run"),
        ({"matrix": {"seed": []}}, "must be a list of values"),
        ({"matrix": {"set": {}}}, "must be a mapping of names to groups"),
        ({"matrix": {"seed": [1]}, "include": [{"set": "a"}]}, 'set "a" is no group'),
        ({"matrix": {"seed": [1]}, "include": [{}]}, "include must be a list of mappings"),
        (
            {"matrix": {"seed": [1, 2]}, "exclude": [{"seed": [1]}, {"seed": 1}, {"seed": 1}]},
            "",
        ),
        ({"matrix": {"data": ["no-such-folder"]}}, "no-such-folder is no folder"),
        ({"matrix": 3}, "must be a mapping of keys to lists of values, not 3"),
    ],
)
def test_what_makes_no_sense_is_refused(read: Read, content: dict[str, Any], part: str) -> None:
    if not part:
        assert len(read(**content).points) == 1
        return
    assert any(part in one for one in problems(read, **content))


def test_the_environment_counts_less_than_the_file(tmp_path: Path) -> None:
    file = tmp_path / "sweep.yaml"
    file.write_text("name: s\nmatrix: {seed: [1, 2]}\n")
    environ = {"PEFTSEARCH_SEED": "7", "PEFTSEARCH_BUDGET": "5%"}
    configs = [point.config for point in read_sweep(file, environ).points]
    assert [(c.seed, c.budget) for c in configs] == [(1, "5%"), (2, "5%")]


def test_a_list_as_a_value(read: Read) -> None:
    sweep = read(matrix={"exportable_to": [["peft"], "peft,merged"], "export": {"targets": [[]]}})
    assert [p.config.exportable_to for p in sweep.points] == [("peft",), ("peft", "merged")]
    assert all(p.config.export.targets == () for p in sweep.points)


def test_what_a_run_is_given_is_read_back_as_it_was(read: Read, tmp_path: Path) -> None:
    """JSON writes 1e-05, which YAML 1.1 reads as text."""
    rates = {"learning_rates": {"lora": 1e-5}, "exportable_to": "peft", "preset": "standard"}
    point = read(common=rates, matrix={"budget": [100000]}).points[0]
    write_json(tmp_path / "point.json", to_mapping(point.config))
    assert resolve(tmp_path / "point.json") == point.config
