"""Putting architectures on models: order, counts, refusals, states."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

import peftsearch
from peftsearch import testing
from peftsearch.architecture import Choice
from peftsearch.backbones.base import wrap
from peftsearch.errors import ConfigError
from peftsearch.injection import (
    count,
    insert_architecture,
    insert_choice,
    insertions_of,
    load_state,
    remove_all,
    state,
)
from tests.models import FACTORIES, inputs

MEETING = ("lora", "ia3", "bitfit", "adapter", "parallel_adapter")


def _at(backbone: Any, site: str, methods: tuple[str, ...]) -> list[Choice]:
    every = [c for name in methods for c in testing.choices_for(backbone, name, 2)]
    return [choice for choice in every if choice.site == site]


@pytest.mark.parametrize("family", ["t5", "bart", "bert"])
def test_the_order_of_insertion_does_not_matter(family: str) -> None:
    """Five methods meet on one linear map; the methods declare which acts first."""
    backbone = wrap("test", FACTORIES[family]())
    batch = inputs(backbone.model)
    host = testing.host_of(backbone, "encoder.00.feed_forward")
    choices = _at(backbone, "encoder.00.feed_forward", MEETING)
    insertions = [insert_choice(host, choice) for choice in choices]
    testing.draw(insertions)
    wanted = testing.logits(backbone.model, batch)
    values = state(insertions)
    remove_all(insertions)
    for order in itertools.islice(itertools.permutations(choices), 0, 120, 17):
        insertions = [insert_choice(host, choice) for choice in order]
        load_state(insertions, values)
        assert torch.equal(testing.logits(backbone.model, batch), wanted)
        remove_all(insertions[::2])
        remove_all(insertions[1::2])


def test_what_does_not_fit_is_refused_with_every_reason() -> None:
    model = FACTORIES["t5"]()
    backbone = wrap("test", model)
    good = testing.choices_for(backbone, "lora")[0]
    wrong = [
        replace(good, site="encoder.07.attention"),
        replace(good, method="lorra"),
        replace(good, modules=("k", "w")),
    ]
    with pytest.raises(ConfigError, match="3 problems") as error:
        peftsearch.apply(model, testing.architecture_of(backbone, [good, *wrong]))
    for part in ("encoder.07.attention", '"lorra" is not known', 'no module "w"', "lora"):
        assert part in error.value.message
    assert insertions_of(model) == []


def test_a_wrong_count_leaves_nothing_behind() -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    names = [name for name, _ in backbone.model.named_parameters()]
    first, second = testing.choices_for(backbone, "lora")[:2]
    lying = replace(second, num_params=second.num_params - 1)
    with pytest.raises(ConfigError, match="another shape"):
        insert_architecture(backbone.hosts, testing.architecture_of(backbone, [first, lying]))
    assert [name for name, _ in backbone.model.named_parameters()] == names


def test_what_attaches_nowhere_or_twice_is_refused() -> None:
    model = FACTORIES["t5"]()
    backbone = wrap("test", model)
    good = testing.choices_for(backbone, "lora")[0]
    wrong = [good, good, replace(good, site="encoder.00.norm", modules=("attention",))]
    with pytest.raises(ConfigError, match="2 problems") as error:
        peftsearch.apply(model, testing.architecture_of(backbone, wrong))
    assert "encoder.00.attention: lora stands there twice" in error.value.message
    assert "encoder.00.norm: lora does not attach to this part" in error.value.message


def test_one_method_needs_modules_of_its_own() -> None:
    """Two LoRAs on one module would share the names of their tensors, and one be lost."""
    backbone = wrap("test", FACTORIES["t5"]())
    host = testing.host_of(backbone, "encoder.00.attention")

    def lora(*modules: str) -> Choice:
        return Choice(host.site.id, "lora", 2, modules, count(host, "lora", modules, 2))

    fine = testing.architecture_of(backbone, [lora("q"), lora("v", "o")])
    assert len(state(insert_architecture(backbone.hosts, fine))) == 6
    shared = testing.architecture_of(backbone, [lora("q"), lora("v", "q")])
    with pytest.raises(ConfigError, match="lora stands there twice on the same modules"):
        insert_architecture(backbone.hosts, shared)


def test_a_builder_that_fails_leaves_nothing_behind() -> None:
    """A refused architecture leaves the model as it was, trainable weights included."""
    model = FACTORIES["t5"]().requires_grad_(True)
    backbone = wrap("test", model)
    model.requires_grad_(True)
    choices = testing.choices_for(backbone, "lora")[:2]
    lying = replace(choices[1], num_params=1)
    names = [name for name, _ in model.named_parameters()]
    with pytest.raises(ConfigError, match="another shape"):
        peftsearch.apply(model, testing.architecture_of(backbone, [choices[0], lying]))
    assert [name for name, _ in model.named_parameters()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("family", "kind", "head"),
    [
        ("t5", "T5ForSequenceClassification", "classification_head."),
        ("t5", "T5ForTokenClassification", "classifier."),
        ("t5", "T5ForQuestionAnswering", "qa_outputs."),
        ("t5", "T5EncoderModel", ""),
        ("t5", "T5Model", ""),
        ("bart", "BartForSequenceClassification", "classification_head."),
        ("bart", "BartForQuestionAnswering", "qa_outputs."),
        ("bart", "BartModel", ""),
        ("bart", "BartForCausalLM", ""),
        ("mbart", "MBartForSequenceClassification", "classification_head."),
        ("mbart", "MBartModel", ""),
        ("bert", "BertForTokenClassification", "classifier."),
        ("bert", "BertForQuestionAnswering", "qa_outputs."),
        ("bert", "BertModel", ""),
        ("roberta", "RobertaForMultipleChoice", "classifier."),
    ],
)
def test_apply_takes_the_other_classes_of_a_family(family: str, kind: str, head: str) -> None:
    """Their heads are trained beside, whatever they are called."""
    import transformers

    model = getattr(transformers, kind)(FACTORIES[family]().config).eval()
    backbone = wrap("test", model)
    peftsearch.apply(
        model, testing.architecture_of(backbone, testing.choices_for(backbone, "lora"))
    )
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert any("peftsearch" in name for name in trained)
    heads = {name for name in trained if "peftsearch" not in name}
    assert all(name.startswith(head) for name in heads)
    assert bool(heads) == bool(head)


def test_applying_twice_is_refused() -> None:
    model = FACTORIES["bert"]()
    backbone = wrap("test", model)
    empty = testing.architecture_of(backbone, [Choice("encoder.00.attention")])
    peftsearch.apply(model, empty)
    with pytest.raises(ConfigError, match="applied already"):
        peftsearch.apply(model, empty)
    peftsearch.unapply(model)
    peftsearch.apply(model, empty)


def test_one_method_twice_at_a_site_needs_other_modules() -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    host = testing.host_of(backbone, "encoder.00.attention")
    insert_choice(host, Choice("encoder.00.attention", "lora", 2, ("q",)))
    insert_choice(host, Choice("encoder.00.attention", "lora", 3, ("v",)))
    with pytest.raises(ValueError, match="on this module already"):
        insert_choice(host, Choice("encoder.00.attention", "lora", 3, ("q",)))


def test_states_must_agree_in_names_and_shapes() -> None:
    backbone = wrap("test", FACTORIES["t5"]())
    choices = testing.choices_for(backbone, "lora", 2)
    insertions = insert_architecture(backbone.hosts, testing.architecture_of(backbone, choices))
    values = state(insertions)
    name = "encoder.00.attention/lora/q/A"
    assert values[name].shape == (2, 32)
    with pytest.raises(ConfigError, match=r"do not belong .* encoder.00.attention/lora/q/A"):
        load_state(insertions, {k: v for k, v in values.items() if k != name})
    with pytest.raises(ConfigError, match=r"has shape \(3, 32\)"):
        load_state(insertions, {**values, name: torch.zeros(3, 32)})
