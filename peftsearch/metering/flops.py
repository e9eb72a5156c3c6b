"""FLOPs of one training: the forward pass, and the backward pass down to the lowest adapted layer.

Counted for each row with the mean number of tokens, two FLOPs for a multiplication and addition:

    linear map, forward           2 in out T            backward to its input: the same again
    attention, forward            4 T S d               (scores, and their product with the values)
      backward to queries         4 T S d               to keys and values: the same again
    inserted, forward + backward  6 parameters T        (to its input and to its own weights)

T are the tokens of the stack (of the layer, where layers differ), S those that are attended to, d
the width of all heads. The frozen weights have no gradient of their own. A layer below the lowest
adapted one has no backward pass; an adapted layer of an encoder needs that of all layers above it,
of the whole decoder, and of the decoder's keys and values. Norms, activations and embeddings, with
what maps their width to that of the layers, are left out; what merges patches is not. The lowest
adapted layer counts in full, though the pass may end within it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from peftsearch.architecture import Choice
from peftsearch.backbones.base import Backbone
from peftsearch.catalogue import method_facts
from peftsearch.formats import Feature
from peftsearch.metering.patches import TEXT, patch_tokens, sees
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

    Whisper hears every sound to its full length. ``None`` where that is not counted: rows are
    neither texts, images nor sounds.
    """
    if all("input_features" in feature.inputs for feature in features):
        heard = float(backbone.model.config.max_source_positions)
        written = _mean(len(f.target) for f in features if isinstance(f.target, list))
        return {"encoder": heard, "decoder": written}
    if sees(backbone.model):
        return _of_images(backbone, _mean(feature.length for feature in features))
    if not all("input_ids" in feature.inputs for feature in features):
        return None
    inputs = _mean(len(feature.inputs["input_ids"]) for feature in features)
    answers = [f.target for f in features if isinstance(f.target, list)]
    written = _mean(map(len, answers)) if answers else inputs
    found = {site.stack: inputs for site in backbone.sites}
    if backbone.model.config.is_encoder_decoder and "decoder" in found:
        found["decoder"] = written
    return found


def _of_images(backbone: Backbone, written: float) -> dict[str, float] | None:
    """Return the tokens of images, and those of the texts beside them."""
    patches = patch_tokens(backbone.model)
    if patches is None:
        return None
    return {s.stack: written if s.stack == TEXT else float(patches) for s in backbone.sites}


def longest(backbone: Backbone, tokens: int) -> dict[str, float] | None:
    """Return the tokens of the longest row, where rows are not at hand; else as above."""
    if sees(backbone.model):
        return _of_images(backbone, float(tokens))
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
        ahead, back, kept = (host.passes * one for one in _one_pass(host, tokens))
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


def _one_pass(host: SiteHost, tokens: Tokens) -> tuple[float, float, float]:
    """Return the FLOPs of a site: forward, backward, and backward into an encoder's output."""
    beside = sum(2.0 * _weights(module) * seen for module, seen in host.beside)
    if host.site.part == "norm":
        return beside, beside, 0.0
    crossed = host.site.part == "cross_attention"
    here = _here(host, tokens)
    other = tokens.get("encoder", here) if crossed else here
    own, read = beside, 0.0
    for name, module in host.modules.items():
        if name in ("k", "v"):
            read += 2 * _weights(module) * other
        else:
            own += 2 * _weights(module) * here
    attention = 4 * here * (host.attended or other) * _width(host)
    into = read + attention
    return own + read + attention, own + attention + (0 if crossed else into), into * crossed


def _here(host: SiteHost, tokens: Tokens) -> float:
    """Return the tokens of a row at a site."""
    return host.tokens or tokens[host.site.stack]


def _weights(module: nn.Module) -> int:
    weight: Any = getattr(module, "weight", None)
    return 0 if weight is None else number_of_weights(weight)


def _width(host: SiteHost) -> int:
    """Return the width of all heads of an attention; 0 for any other part."""
    if not host.site.resolve(["q"]):
        return 0
    _, places = host.outputs("q")
    return len(places)


def _ends(backbone: Backbone, tokens: Tokens) -> tuple[float, float]:
    """Return the FLOPs of the map to the vocabulary, and of a head on one token."""
    output = backbone.model.get_output_embeddings()
    last = "decoder" if "decoder" in tokens else next(iter(tokens))
    words = 0.0 if output is None else 2 * output.weight.numel() * tokens[last]
    return words, 2.0 * backbone.num_head_parameters


def meter(backbone: Backbone, cost: Cost, tokens: Tokens, rows: int) -> Meter:
    """Return what inserting something adds to a training; arguments as of :func:`resource`."""
    hosts = {host.site: host for host in backbone.hosts}

    def flops(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
        crossed = site.part == "cross_attention"
        here = max(tokens.values()) if crossed else _here(hosts[site], tokens)
        inserted = _INSERTED * cost(site, method, modules, size) * hosts[site].passes
        return float(inserted * here * rows)

    return flops


def lora_everywhere(sites: Sequence[Site]) -> list[Choice]:
    """Return what a share of the FLOPs refers to: LoRA at every site, on its usual modules."""
    lora = method_facts()["lora"]
    at = {site.id: lora.modules_at(site) for site in sites}
    return [Choice(id_, "lora", REFERENCE_RANK, modules) for id_, modules in at.items() if modules]


def backward(counted: Resource, choices: Sequence[Choice], sites: Mapping[str, Site]) -> float:
    """Return the FLOPs of the backbone's own backward pass under an architecture."""
    layers = [(layer_of(sites[choice.site]), 0.0) for choice in choices]
    return counted.used(layers) - counted.fixed
