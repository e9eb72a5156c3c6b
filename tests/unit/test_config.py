"""The configuration: layers, checks, and the texts of its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from peftsearch import config as configuration
from peftsearch.config import Names, RunConfig
from peftsearch.config.layers import PRESETS, variable
from peftsearch.config.schema import tree
from peftsearch.errors import ConfigError

NAMES = Names(
    tasks=("micro-nli", "rte", "sst2"),
    methods=("lora", "ia3", "prefix"),
    spaces=("default", "tiny"),
    exporters=("native", "peft"),
)


def resolve(*args: Any, **kwargs: Any) -> RunConfig:
    return configuration.resolve(*args, names=NAMES, **kwargs)


def refusal(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(*args, **kwargs)
    assert caught.value.exit_code == 2
    return f"{caught.value.message} {caught.value.hint}"


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_nothing_given_is_the_built_in_default() -> None:
    assert resolve() == RunConfig()
    assert (RunConfig().model, RunConfig().task) == ("micro-t5", "micro-nli")
    assert (RunConfig().budget, RunConfig().preset) == ("1%", "quick")


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("quick", (3.9, 160, 32, 160, 3, 1)),
        ("standard", (8, 1600, 200, 1000, 5, 3)),
        ("thorough", (20, 6000, 600, 3000, 5, 5)),
    ],
)
def test_presets(preset: str, expected: tuple[float, ...]) -> None:
    config = resolve(flags={"preset": preset})
    assert expected == (
        config.trainings,
        config.search.steps,
        config.search.measured,
        config.retrain.steps,
        config.seeds,
        config.retrain.random_baselines,
    )
    assert config.preset == preset


def test_every_layer_beats_the_one_below(tmp_path: Path) -> None:
    environ = {"PEFTSEARCH_SEARCH_STEPS": "4", "HOME": "/"}
    layers: dict[str, Any] = {"flags": {"preset": "standard"}}
    assert resolve(**layers).search.steps == 1600
    layers["config_file"] = write(tmp_path, "search: {steps: 3}")
    assert resolve(**layers).search.steps == 3
    layers["environ"] = environ
    assert resolve(**layers).search.steps == 4
    layers["flags"]["search.steps"] = 5
    assert resolve(**layers).search.steps == 5
    layers["overrides"] = ["search.steps=6", "search.steps=7"]
    assert resolve(**layers).search.steps == 7


def test_the_preset_may_come_from_any_layer_and_stays_below_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "preset: thorough\nseeds: 2")
    config = resolve(path)
    assert (config.search.steps, config.seeds) == (6000, 2)
    assert resolve(path, environ={"PEFTSEARCH_PRESET": "standard"}).search.steps == 1600
    assert resolve(path, flags={"preset": "quick"}).search.steps == 160
    assert resolve(path, overrides=["preset=quick"]).search.steps == 160


def test_learning_rates_are_merged_by_method(tmp_path: Path) -> None:
    path = write(tmp_path, "learning_rates: {lora: 1e-3, ia3: 0.01}")
    config = resolve(path, overrides=["learning_rates.lora=2e-3"])
    assert config.learning_rates == {"lora": 0.002, "ia3": 0.01}


def test_flags_may_be_nested() -> None:
    config = resolve(flags={"search": {"steps": 8}, "learning_rates": {"lora": 1}, "data": None})
    assert (config.search.steps, config.learning_rates, config.data) == (8, {"lora": 1.0}, None)


@pytest.mark.parametrize(
    ("text", "path", "guess"),
    [
        ("sedd: 1", "sedd", "seed"),
        ("search: {stepz: 1}", "search.stepz", "search.steps"),
        ("searhc: {steps: 1}", "searhc", "search"),
        ("search: {steps: {many: 1}}", "search.steps.many", "no keys of its own"),
        ("learning_rates: {lorra: 1}", "learning_rates.lorra", "lora"),
        ("learning_rates: {lora: {a: 1}}", "learning_rates.lora", "must be a number"),
    ],
)
def test_unknown_keys_in_a_file(tmp_path: Path, text: str, path: str, guess: str) -> None:
    message = refusal(write(tmp_path, text))
    assert "mine.yaml: " in message
    assert path in message
    assert guess in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sedd=1", 'unknown key "sedd". Did you mean "seed"?'),
        ("search.stepz=1", 'unknown key "search.stepz". Did you mean "search.steps"?'),
        ("search.steps.many=1", 'unknown key "search.steps.many"'),
        ("learning_rates.lorra=1", 'Did you mean "lora"?'),
        ("search=1", "search is a section, not a value."),
        ("search.steps", "is not of the form key=value"),
        ("=3", "is not of the form key=value"),
    ],
)
def test_unknown_keys_in_set(text: str, expected: str) -> None:
    message = refusal(overrides=[text])
    assert "--set" in message
    assert expected in message


def test_unknown_environment_variable() -> None:
    message = refusal(environ={"PEFTSEARCH_SEARCH_STEP": "1", "PEFTSEARCH_DEBUG": "1"})
    assert message == (
        "environment variable PEFTSEARCH_SEARCH_STEP is not known. "
        'Did you mean "PEFTSEARCH_SEARCH_STEPS"?'
    )


def test_environment_variables_are_unambiguous() -> None:
    leaves = tree()[1]
    assert len({variable(path) for path in leaves}) == len(leaves)


def test_all_problems_of_all_layers_at_once(tmp_path: Path) -> None:
    message = refusal(
        write(tmp_path, "search: {stepz: 3}"),
        environ={"PEFTSEARCH_SEEDS": "none at all"},
        flags={"task": "rt", "budget": "1", "seeds": 0},
        overrides=["search.arch_lr=fast", "oops"],
    )
    assert message.startswith("7 problems\n")
    for part in (
        'mine.yaml: unknown key "search.stepz".',
        'PEFTSEARCH_SEEDS: seeds must be a whole number, not "none at all".',
        'task "rt" is not known.  Did you mean "rte"? List: peftsearch list tasks',
        'budget "1" is ambiguous: 1 parameter or 100%?  Write 1% or 1000.',
        "seeds must be at least 1, not 0.",
        '--set: search.arch_lr must be a number, not "fast".',
        '--set "oops" is not of the form key=value.',
    ):
        assert part in message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("seeds", 1.5, "seeds must be a whole number, not 1.5."),
        ("seeds", True, "seeds must be a whole number, not True."),
        ("seeds", "3", 'seeds must be a whole number, not "3".'),
        ("seeds", None, ""),
        ("seed", -1, "seed must be at least 0, not -1."),
        ("train_rows", 0, "train_rows must be at least 1, not 0."),
        ("search.arch_lr", 0, "search.arch_lr must be above 0, not 0.0."),
        ("search.arch_lr", float("nan"), "search.arch_lr must be a number, not nan."),
        ("search.warmup_fraction", 1, "must be at least 0 and below 1, not 1.0."),
        ("search.exploration_end", 1.1, "must be at least 0 and at most 1, not 1.1."),
        ("search.bilevel", "frist", 'search.bilevel "frist" is not known. Did you mean "first"?'),
        ("search.temperature_end", 9, "search.temperature_end (9.0) is above temperature_start"),
        ("accumulation", 33, "accumulation (33) is above search.batch_size (32)"),
        ("model", "", 'model must be text, not "".'),
        ("model", 3, "model must be text, not 3."),
        ("preset", "quik", 'preset "quik" is not known. Did you mean "quick"?'),
        ("precision", "fp16", "Use --precision bf16"),
        ("precision", "fp8", 'precision "fp8" is not known.'),
        ("device", "gpu", 'device "gpu" is not known. Use auto, cpu, mps, cuda or cuda:N.'),
        ("space", "defalt", 'space "defalt" is not known. Did you mean "default"?'),
        ("export.targets", ["peft", "natve"], 'Did you mean "native"?'),
        (
            "exportable_to",
            "native,natve",
            'exportable_to "natve" is not known. Did you mean "native"',
        ),
        ("export.targets", [1], "export.targets must be a list of names, not [1]."),
        ("learning_rates", 3, "learning_rates must be a mapping, not 3."),
        ("learning_rates", {"lora": -1}, "learning_rates.lora must be above 0, not -1.0."),
        ("budget", "much", 'budget "much" is not a budget.'),
    ],
)
def test_types_ranges_and_names(key: str, value: Any, expected: str) -> None:
    if not expected:
        assert resolve(flags={key: value}) == RunConfig()
    else:
        assert expected in refusal(flags={key: value})


def test_numbers_as_yaml_reads_them(tmp_path: Path) -> None:
    config = resolve(write(tmp_path, "budget: 100000\nsearch: {arch_lr: 1e-3, temperature_end: 1}"))
    assert (config.budget, config.search.arch_lr) == ("100000", 0.001)
    assert config.search.temperature_end == 1.0
    assert isinstance(config.search.temperature_end, float)


def test_text_keys_stay_text() -> None:
    config = resolve(
        environ={"PEFTSEARCH_TRAIN_ROWS": "20"},
        overrides=["model=1e3", "task=my.yaml", "data=no", "export.targets=peft", "test_rows=null"],
    )
    assert (config.model, config.task, config.data) == ("1e3", "my.yaml", "no")
    assert (config.train_rows, config.test_rows) == (20, None)
    assert config.export.targets == ("peft",)
    assert resolve(overrides=["export.targets=[native, peft]"]).export.targets == ("native", "peft")
    assert resolve(overrides=["export.targets=native,peft"]).export.targets == ("native", "peft")
    for given in ("native, peft", ["native", "peft"]):
        assert resolve(flags={"exportable_to": given}).exportable_to == ("native", "peft")
    assert resolve(environ={"PEFTSEARCH_EXPORTABLE_TO": "peft"}).exportable_to == ("peft",)
    assert resolve(flags={"exportable_to": ""}).exportable_to == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- 1", "a configuration is a mapping of keys to values"),
        ("a: [", "is not valid YAML"),
        (None, "does not exist"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "absent.yaml" if text is None else write(tmp_path, text)
    assert expected in refusal(path)


def test_empty_files_and_sections_change_nothing(tmp_path: Path) -> None:
    assert resolve(write(tmp_path, "")) == RunConfig()
    assert resolve(write(tmp_path, "search:\nlearning_rates:\n")) == RunConfig()


def test_every_value_survives_config_yaml(tmp_path: Path) -> None:
    config = resolve(
        flags={"preset": "thorough", "train_rows": 7, "data": "d", "model": "ü"},
        overrides=["learning_rates.ia3=3e-3", "export.targets=native"],
    )
    text = configuration.dump(config)
    assert configuration.from_mapping(yaml.safe_load(text), names=NAMES) == config
    path = write(tmp_path, text)
    assert configuration.load(path, NAMES) == config
    assert configuration.check_mapping({"sedd": 1}, "x", NAMES)[0].message.startswith("x: ")


def test_resume_keeps_what_is_stored() -> None:
    stored = resolve(flags={"preset": "standard", "seed": 3}, overrides=["learning_rates.lora=1"])
    again = {"flags": {"seed": 3, "preset": "standard"}, "overrides": ["learning_rates.lora=1"]}
    assert configuration.resume(stored, names=NAMES) == stored
    assert configuration.resume(stored, names=NAMES, **again) == stored
    moved = configuration.resume(stored, names=NAMES, flags={"device": "cuda:1"})
    assert moved == replace(stored, device="cuda:1")
    free: dict[str, Any] = {"devices": 2, "max_seconds": 60.0, "grace_seconds": 5.0}
    free["track"] = ("wandb",)
    assert configuration.resume(stored, names=NAMES, flags=free) == replace(stored, **free)


def test_resume_refuses_other_values_and_shows_them() -> None:
    stored = resolve()
    with pytest.raises(ConfigError) as caught:
        configuration.resume(
            stored,
            flags={"seed": 4, "device": "cpu"},
            overrides=["search.steps=9", "learning_rates.lora=1"],
            names=NAMES,
        )
    lines = caught.value.message.splitlines()
    assert lines[1:] == [
        "  seed: the run has 0, asked for is 4",
        "  search.steps: the run has 160, asked for is 9",
        "  learning_rates.lora: the run has None, asked for is 1.0",
    ]
    assert "--out DIR" in caught.value.hint
    with pytest.raises(ConfigError, match="unknown key"):
        configuration.resume(stored, overrides=["x=1"], names=NAMES)


def test_registered_names_are_read_from_the_registries() -> None:
    names = configuration.known_names()
    assert "micro-nli" in names.tasks
    assert "lora" in names.methods
    assert "native" in names.exporters
    assert set(PRESETS) == {"quick", "standard", "thorough"}
