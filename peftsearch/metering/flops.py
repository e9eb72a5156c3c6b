"""FLOPs of one training: the forward pass, and the backward pass down to the lowest adapted layer.

Counted for each row with the mean number of tokens, two FLOPs for a multiplication and addition:

    linear map, forward           2 in out T            backward to its input: the same again
    attention, forward            4 T S d               (scores, and their product with the values)
      backward to queries         4 T S d               to keys and values: the same again
    inserted, forward + backward  6 parameters T        (to its input and to its own weights)

T are the tokens of the stack, S those that are attended to, d the width of all heads. The frozen
weights have no gradient of their own. A layer below the lowest adapted one has no backward pass;
an adapted layer of an encoder needs that of all layers above it, of the whole decoder, and of the
decoder's keys and values. Norms, activations and embeddings are left out. The lowest adapted layer
counts in full, though the pass may end within it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import method_facts
from peftsearch.formats import Feature
from peftsearch.methods.base import SiteHost
from peftsearch.methods.linear_map import number_of_weights
from peftsearch.resources import Layer, Meter, Resource, Shared, layer_of
from peftsearch.site import Site
from peftsearch.space import Cost

NAME = "train_flops"
#: Rank of the LoRA at every site that a share refers to.
REFERENCE_RANK = 8
#: Forward, gradient of the weights, gradient of the input.
_INSERTED = 6
Tokens = Mapping[str, float]


def mean_tokens(features: Sequence[Feature], backbone: Backbone) -> dict[str, float] | None:
    """Return the mean tokens of a row in each stack; a decoder reads what it is to write.

    ``None`` where rows are not texts.
    """
    if not all("input_ids" in feature.inputs for feature in features):
        return None
    inputs = _mean(len(feature.inputs["input_ids"]) for feature in features)
    answers = [f.target for f in features if isinstance(f.target, list)]
    written = _mean(map(len, answers)) if answers else inputs
    found = {site.stack: inputs for site in backbone.sites}
    if backbone.model.config.is_encoder_decoder and "decoder" in found:
        found["decoder"] = written
    return found


def longest(backbone: Backbone, tokens: int) -> dict[str, float]:
    """Return the tokens of the longest row, where rows are not at hand."""
    return {site.stack: float(tokens) for site in backbone.sites}


def _mean(numbers: Iterable[int]) -> float:
    listed = list(numbers)
    return sum(listed) / max(1, len(listed))


def resource(
    backbone: Backbone, tokens: Tokens, rows: int, limit: float, requested: str
) -> Resource:
    """Return the FLOPs of a training of so many rows, as a resource.

    Args:
        backbone: The backbone; its weights are not read.
        tokens: Mean tokens of a row by stack.
        rows: Rows of the training: its steps times its batch.
        limit: Most FLOPs of the training, or infinite.
        requested: As typed.
    """
    layers = list(dict.fromkeys(layer_of(host.site) for host in backbone.hosts))
    forward: dict[Layer, float] = defaultdict(float)
    backward: dict[Layer, float] = defaultdict(float)
    memory = 0.0
    for host in backbone.hosts:
        ahead, back, kept = _passes(host, tokens)
        forward[layer_of(host.site)] += ahead
        backward[layer_of(host.site)] += back
        memory += kept
    below = {layer: frozenset(_below(layer, layers, memory > 0)) for layer in layers}
    shared = [Shared(rows * backward[layer], below[layer]) for layer in layers]
    encoders = frozenset(layer for layer in layers if layer[0] == "encoder")
    if memory and encoders:
        shared.append(Shared(rows * memory, encoders))
    output, head = _ends(backbone, tokens)
    shared.append(Shared(rows * output, frozenset(layers)))
    fixed = rows * (sum(forward.values()) + output + 3 * head)
    return Resource(NAME, "FLOPs", requested, limit, fixed=fixed, shared=tuple(shared))


def _below(layer: Layer, layers: Sequence[Layer], crossed: bool) -> list[Layer]:
    """Return the layers that, adapted, need the backward pass of a layer."""
    own = [each for each in layers if each[0] == layer[0] and each[1] <= layer[1]]
    if crossed and layer[0] == "decoder":
        own += [each for each in layers if each[0] == "encoder"]
    return own


def _passes(host: SiteHost, tokens: Tokens) -> tuple[float, float, float]:
    """Return the FLOPs of a site: forward, backward, and backward into an encoder's output."""
    if host.site.part == "norm":
        return 0.0, 0.0, 0.0
    crossed = host.site.part == "cross_attention"
    here = tokens[host.site.stack]
    other = tokens.get("encoder", here) if crossed else here
    own = attended = 0.0
    for name, module in host.modules.items():
        weight = getattr(module, "weight", None)
        if weight is None:
            continue
        if name in ("k", "v"):
            attended += 2 * number_of_weights(weight) * other
        else:
            own += 2 * number_of_weights(weight) * here
    queries = host.modules.get("q")
    width = 0 if queries is None else _outputs(queries)
    attention = 4 * here * other * width
    into = attended + attention
    return own + attended + attention, own + attention + (0 if crossed else into), into * crossed


def _outputs(module: Any) -> int:
    return int(module.out_features if hasattr(module, "out_features") else module.nf)


def _ends(backbone: Backbone, tokens: Tokens) -> tuple[float, float]:
    """Return the FLOPs of the map to the vocabulary, and of a head on one token."""
    output = backbone.model.get_output_embeddings()
    last = "decoder" if "decoder" in tokens else next(iter(tokens))
    words = 0.0 if output is None else 2 * output.weight.numel() * tokens[last]
    return words, 2.0 * backbone.num_head_parameters


def meter(cost: Cost, tokens: Tokens, rows: int) -> Meter:
    """Return what inserting something adds to a training; arguments as of :func:`resource`."""

    def flops(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
        crossed = site.part == "cross_attention"
        here = max(tokens.values()) if crossed else tokens[site.stack]
        return float(_INSERTED * cost(site, method, modules, size) * here * rows)

    return flops


def lora_everywhere(sites: Sequence[Site]) -> list[Choice]:
    """Return what a share of the FLOPs refers to: LoRA at every site, on its usual modules."""
    usual = method_facts()["lora"].modules
    found = []
    for site in sites:
        modules = tuple(name for name in usual.get(site.part, ()) if name in site.modules)
        if modules:
            found.append(Choice(site.id, "lora", REFERENCE_RANK, modules))
    return found


def backward(counted: Resource, choices: Sequence[Choice], sites: Mapping[str, Site]) -> float:
    """Return the FLOPs of the backbone's own backward pass under an architecture."""
    layers = [(layer_of(sites[choice.site]), 0.0) for choice in choices]
    return counted.used(layers) - counted.fixed
