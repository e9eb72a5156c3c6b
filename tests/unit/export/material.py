"""Random architectures with weights as if trained, on tiny models of every family."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from typing import Any

import torch

from peftsearch import testing
from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone, head_parameters, wrap
from peftsearch.catalogue import method_facts
from peftsearch.export.base import Bundle, logits_of
from peftsearch.export.writing import problems
from peftsearch.injection import apply, count, insertions_of, state, unapply
from tests.models import FACTORIES, inputs

METHODS = tuple(name for name in method_facts() if name != "none")
#: Methods that act on any linear map, and not only on the modules named in their facts.
_ANYWHERE = ("lora", "bitfit")
_WHOLE = ("prefix", "parallel_adapter")


def fresh(family: str, **more: Any) -> Backbone:
    """Return a tiny backbone of a family."""
    return wrap("test", FACTORIES[family](**more))


def choice(backbone: Backbone, site: str, method: str, size: int, *modules: str) -> Choice:
    """Return one choice with its true cost."""
    host = testing.host_of(backbone, site)
    named = modules or method_facts()[method].modules_at(host.site)
    return Choice(site, method, size, named, count(host, method, named, size))


def random_choices(backbone: Backbone, methods: Iterable[str], seed: int) -> list[Choice]:
    """Return choices at about half of the sites and methods: any sizes, any modules."""
    drawn = random.Random(seed)
    found = []
    for site in backbone.sites:
        for method in methods:
            card = method_facts()[method]
            allowed = list(card.modules_at(site))
            if not allowed or drawn.random() < 0.5:
                continue
            if method in _ANYWHERE:
                allowed = list(site.modules)
            if method not in _WHOLE:
                allowed = drawn.sample(allowed, drawn.randint(1, len(allowed)))
            size = drawn.randint(1, 5) if card.sized else 1
            found.append(choice(backbone, site.id, method, size, *allowed))
    drawn.shuffle(found)  # the order of composition does not hang on that of the list
    return found


def mirrored(backbone: Backbone, choices: Iterable[Choice]) -> list[Choice]:
    """Give a decoder layer's cross-attention the LoRA and IA3 that its self-attention has."""
    found, both = [], ("lora", "ia3")
    if not any(site.part == "cross_attention" for site in backbone.sites):
        return list(choices)
    for each in choices:
        if each.method not in both or not each.site.endswith("cross_attention"):
            found.append(each)
        if each.method in both and re.fullmatch(r"decoder\.\d+\.attention", each.site):
            twin = each.site.replace("attention", "cross_attention")
            found.append(choice(backbone, twin, each.method, each.size, *each.modules))
    return found


def fitting(target: str, backbone: Backbone, methods: Iterable[str], seed: int = 0) -> list[Choice]:
    """Return random choices without those that are refused; of these, one goes at a time."""
    drawn = random.Random(seed)
    choices = mirrored(backbone, random_choices(backbone, methods, seed))
    while True:
        found = problems(target, architecture(backbone, choices), backbone)
        refused = {(p.site, p.method) for p in found}
        wrong = [c for c in choices if (c.site, c.method) in refused]
        if not wrong:
            return choices
        choices.remove(drawn.choice(wrong))


def architecture(backbone: Backbone, choices: Iterable[Choice]) -> Architecture:
    """Return an architecture of the choices."""
    return testing.architecture_of(backbone, list(choices))


def bundle_of(backbone: Backbone, choices: Iterable[Choice], std: float = 0.3) -> Bundle:
    """Return trained-like weights for layers and head, their logits, and a clean backbone."""
    model, batch = backbone.model, inputs(backbone.model)
    found = architecture(backbone, choices)
    before = {name: p.detach().clone() for name, p in head_parameters(model)}
    apply(model, found)
    testing.draw(insertions_of(model), std=std)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for _, parameter in head_parameters(model):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * std)
    weights = state(insertions_of(model))
    trained = {name: p.detach().clone() for name, p in head_parameters(model)}
    logits = logits_of(model, batch)
    unapply(model)
    with torch.no_grad():  # an export must bring the head along
        for name, parameter in head_parameters(model):
            parameter.copy_(before[name])
    return Bundle(found, weights, trained, backbone, batch, logits)
