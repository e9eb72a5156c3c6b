"""The tune space: every problem at once, and only what can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from peftsearch import config as configuration
from peftsearch.errors import ConfigError
from peftsearch.tune import plan as plans
from peftsearch.tune.space import of_baseline, parse, read_space
from tests.tune.material import plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("search: {arch_lrr: {low: 1, high: 2}}", 'Did you mean "search.arch_lr"?'),
        ("serach.arch_lr: {low: 1, high: 2}", 'Did you mean "search"?'),
        ("search.arch_lr: {low: 1, hihg: 2}", 'unknown key "search.arch_lr.hihg"'),
        ("learning_rates.lroa: {low: 1, high: 2}", 'Did you mean "lora"?'),
        ("search.arch_lr: 3", "must have low and high, or choices"),
        ("search.arch_lr: {low: 0.2, high: 0.1}", "low must be below high"),
        ("search.arch_lr: {low: 0, high: 0.1}", "must be above 0"),
        ("search.exploration_end: {low: 0, high: 0.1, log: true}", "above 0 for log"),
        ("search.exploration_end: {low: 0, high: 2}", "at most 1"),
        ("search.gate_every: {low: 1, high: 8.5}", "must be a whole number"),
        ("search.arch_lr: {low: 0.1, high: 1, step: 2}", "step is for whole numbers"),
        ("search.bilevel: {low: 0, high: 1}", "holds str"),
        ("search.bilevel: {choices: [first, secnd]}", 'Did you mean "second"?'),
        ("search.bilevel: {choices: [first]}", "two or more"),
        ("space: {choices: [default, tinny]}", 'Did you mean "tiny"?'),
        ("model: {choices: [micro-t5, t5-small]}", "not be comparable"),
        ("seed: {low: 0, high: 9}", "not be comparable"),
        ("retrain.steps: {low: 10, high: 90}", "different length"),
        ("export.targets: {choices: [native, peft]}", "a trial does nothing with it"),
        ("search.arch_lr: {low: 0.1, high: 1, also: [search.arch_lr]}", "is there twice"),
        ("[]", "a tune space is a mapping"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(yaml.safe_load(text), "t.yaml")
    assert said in f"{refused.value.message} {refused.value.hint}"
    assert "t.yaml" in refused.value.message


def test_all_problems_at_once() -> None:
    data = {"serach": 1, "search": {"arch_lr": {"low": 2, "high": 1}, "stepps": {}}}
    with pytest.raises(ConfigError, match="3 problems") as refused:
        parse(data, "t.yaml")
    assert len(refused.value.problems) == 3


def test_nested_and_dotted_are_the_same() -> None:
    bounds = {"low": 1e-3, "high": 0.1, "log": True}
    nested = parse({"learning_rates": {"lora": bounds}, "search": {"arch_lr": bounds}}, "t")
    assert nested == parse({"learning_rates.lora": bounds, "search.arch_lr": bounds}, "t")


def test_the_packaged_space_holds_what_matters() -> None:
    base = configuration.resolve()
    keys = [each.key for each in read_space(None, base)]
    wanted = (
        "learning_rates.lora search.arch_lr search.temperature_end search.exploration_end "
        "search.warmup_fraction dropout retrain.weight_decay space"
    )
    assert set(wanted.split()) <= set(keys)
    lora = configuration.resolve(flags={"space": "lora_only"})
    keys = [each.key for each in read_space(None, lora)]
    assert [key for key in keys if key.startswith("learning_rates")] == ["learning_rates.lora"]
    assert "space" not in keys
    blind = configuration.resolve(flags={"strategy": "random"})
    assert not [k.key for k in read_space(None, blind) if k.key.startswith("search.")]
    for each in (base, lora, blind):
        plans.check(plan(base=each, space=read_space(None, each)))


def test_ends_that_do_not_go_together_are_found_before_a_trial() -> None:
    space = parse(
        {
            "search.temperature_start": {"low": 1, "high": 5},
            "search.temperature_end": {"low": 0.5, "high": 2},
        },
        "t",
    )
    with pytest.raises(ConfigError, match="does not go together"):
        plans.check(plan(space=space))


def test_values_reach_every_key() -> None:
    space = parse(
        {"learning_rates.adapter": {"low": 1e-3, "high": 1e-2,
                                    "also": ["learning_rates.parallel_adapter"]},
         "search.gate_every": {"low": 1, "high": 9, "step": 4},
         "dropout": {"low": 0, "high": 0.5}, "budget": {"choices": ["1%", "2%"]}},
        "t",
    )  # fmt: skip
    params: dict[str, Any] = {
        "learning_rates.adapter": 0.005, "search.gate_every": 5, "dropout": 0.25, "budget": "2%",
    }  # fmt: skip
    config = plan(space=space).config(params)
    assert config.learning_rates == {"adapter": 0.005, "parallel_adapter": 0.005}
    assert (config.search.gate_every, config.dropout, config.budget) == (5, 0.25, "2%")
    ends = plans.distribution(space[1])
    assert (ends.low, ends.high, ends.step) == (1, 9, 4)  # type: ignore[attr-defined]


def test_a_baseline_is_tuned_in_what_it_has() -> None:
    space = read_space(None, configuration.resolve())
    keys = [each.key for each in of_baseline(space, "layernorm")]
    assert keys == ["learning_rates.layernorm", "dropout", "retrain.weight_decay"]


def test_the_file_itself_is_documented(tmp_path: Path) -> None:
    from importlib import resources

    text = resources.files("peftsearch.tune").joinpath("default.yaml").read_text("utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert len(read_space(path, configuration.resolve())) == len(yaml.safe_load(text))
