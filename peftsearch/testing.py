"""The contract of a method, for the tests of this package and of plug-ins.

Every check takes a method's name, a small transformers model and a batch for it, and raises
``AssertionError`` where the method does not keep its word. Models should have every parameter
drawn at random (norm weights and biases too), dropout off, and the checkpoint's head; each
check is given a model of its own.

    @pytest.mark.parametrize("check", testing.CHECKS.values(), ids=testing.CHECKS)
    def test_contract(check):
        check("my_method", make_model(), make_batch())
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from peftsearch.architecture import Architecture, Choice
from peftsearch.backbones.base import Backbone, is_inserted, wrap
from peftsearch.catalogue import method_facts
from peftsearch.export import native
from peftsearch.export.base import in_precision, output_logits
from peftsearch.injection import (
    Insertion,
    apply,
    count,
    insert_architecture,
    insert_choice,
    insertions_of,
    remove_all,
    unapply,
)
from peftsearch.methods.base import SiteHost

Batch = Mapping[str, Tensor]
Check = Callable[[str, Any, Batch], None]

_SIZE = 5
#: For two ways of computing the same thing in float32, relative to the largest logit.
_TOLERANCE = 1e-5


def choices_for(
    backbone: Backbone, method: str, size: int = _SIZE, layers: Sequence[tuple[str, int]] = ()
) -> tuple[Choice, ...]:
    """Return the method at every site that can hold it.

    Args:
        backbone: Where.
        method: What.
        size: Rank, units or length; unsized methods take 1.
        layers: Only these pairs of stack and layer; all by default.
    """
    card = method_facts()[method]
    found = []
    for host in backbone.hosts:
        site = host.site
        modules = card.modules_at(site)
        if modules and (not layers or (site.stack, site.layer) in layers):
            size = size if card.sized else 1
            found.append(Choice(site.id, method, size, modules, count(host, method, modules, size)))
    return tuple(found)


def architecture_of(backbone: Backbone, choices: Sequence[Choice]) -> Architecture:
    """Return an architecture of the choices, with a budget that just holds them."""
    used = sum(choice.num_params for choice in choices)
    return Architecture("test", "test", backbone.num_parameters, str(used), used, tuple(choices))


@torch.no_grad()
def draw(insertions: Sequence[Insertion], seed: int = 0, std: float = 0.3) -> None:
    """Give every inserted tensor random values, as if it had been trained."""
    generator = torch.Generator().manual_seed(seed)
    for insertion in insertions:
        for _, parameter in insertion.tensors():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


def switch(insertions: Sequence[Insertion], mask: Tensor | None, *, active: bool = True) -> None:
    """Set the mask of every layer, and whether it runs at all."""
    for insertion in insertions:
        for layer in insertion.layers.values():
            layer.mask, layer.active = mask, active


@torch.no_grad()
def logits(model: Any, batch: Batch) -> Tensor:
    """Return the logits in evaluation mode."""
    return output_logits(model.eval()(**batch))


def _insert(
    backbone: Backbone, choices: Sequence[Choice], *, trained: bool = True
) -> list[Insertion]:
    insertions = insert_architecture(backbone.hosts, architecture_of(backbone, choices))
    if trained:
        draw(insertions)
    return insertions


def _close(found: Tensor, wanted: Tensor, what: str) -> None:
    difference = float((found - wanted).abs().max())
    allowed = _TOLERANCE * max(1.0, float(wanted.abs().max()))
    assert difference <= allowed, f"{what}: logits differ by {difference:.2e}"


def _different(found: Tensor, wanted: Tensor, what: str) -> None:
    difference = float((found - wanted).abs().max())
    assert difference > 1e-4, f"{what}: logits differ by {difference:.2e} only"


def check_identity_at_start(method: str, model: Any, batch: Batch) -> None:
    """A fresh layer changes nothing, or the card says why it does."""
    backbone = wrap("test", model)
    before = logits(model, batch)
    _insert(backbone, choices_for(backbone, method), trained=False)
    reason = method_facts()[method].identity_at_start
    if reason:
        _different(logits(model, batch), before, f"{method} says that it changes the start")
    else:
        assert torch.equal(logits(model, batch), before), f"{method} changes the start"


def check_off(method: str, model: Any, batch: Batch) -> None:
    """An inactive layer leaves the output bit for bit, a mask of zeros to rounding."""
    backbone = wrap("test", model)
    before = logits(model, batch)
    for choice in choices_for(backbone, method):
        host = next(h for h in backbone.hosts if h.site.id == choice.site)
        insertion = insert_choice(host, choice)
        draw([insertion])
        _different(logits(model, batch), before, f"{method} at {choice.site}")
        remove_all([insertion])
    insertions = _insert(backbone, choices_for(backbone, method))
    switch(insertions, None, active=False)
    assert torch.equal(logits(model, batch), before), f"{method} acts while inactive"
    size = max(insertion.choice.size for insertion in insertions)
    switch(insertions, torch.zeros(1, 1, size))
    _close(logits(model, batch), before, f"{method} under a mask of zeros")


def check_on(method: str, model: Any, batch: Batch) -> None:
    """A mask of ones equals no mask; rows with masks of their own do not touch each other.

    The second is not looked at where a backbone cannot have such rows.
    """
    backbone = wrap("test", model)
    before = logits(model, batch)
    insertions = _insert(backbone, choices_for(backbone, method))
    full = logits(model, batch)
    size = max(insertion.choice.size for insertion in insertions)
    switch(insertions, torch.ones(1, 1, size))
    _close(logits(model, batch), full, f"{method} under a mask of ones")
    if backbone.rows_alike:
        return
    rows = len(full)
    mask = torch.ones(rows, 1, size)
    mask[0] = 0
    switch(insertions, mask)
    mixed = logits(model, batch)
    _close(mixed[1:], full[1:], f"{method} in rows that are on beside one that is off")
    _close(mixed[0], before[0], f"{method} in a row that is off beside others that are on")


def check_nested_sizes(method: str, model: Any, batch: Batch) -> None:
    """The first k units of the largest size are the layer of size k."""
    if not method_facts()[method].sized:
        return
    backbone = wrap("test", model)
    choices = choices_for(backbone, method)
    bank = _insert(backbone, choices)
    full, masked = logits(model, batch), {}
    for size in (1, 3):
        switch(bank, (torch.arange(_SIZE) < size).float().view(1, 1, _SIZE))
        masked[size] = logits(model, batch)
        _different(masked[size], full, f"{method} of size {size} and of size {_SIZE}")
    remove_all(bank)
    for size, wanted in masked.items():
        alone = _insert(backbone, choices_for(backbone, method, size))
        for small, large in zip(alone, bank, strict=True):
            copy_slices(large, small)
        _close(logits(model, batch), wanted, f"{method} of size {size}")
        remove_all(alone)


@torch.no_grad()
def copy_slices(large: Insertion, small: Insertion) -> None:
    """Copy the first units of a large insertion into a smaller one of the same method."""
    for anchor, layer in small.layers.items():
        source = dict(large.layers[anchor].named_parameters())
        for name, parameter in layer.named_parameters():
            value: Tensor = source[name]
            if name in layer.size_dims:
                dim = layer.size_dims[name]
                value = value.narrow(dim, 0, parameter.shape[dim])
            parameter.copy_(value)


def check_cost(method: str, model: Any, batch: Batch) -> None:
    """The cost counted without storage is the number of parameters really created."""
    backbone = wrap("test", model)
    sizes = (1, 2, 7) if method_facts()[method].sized else (1,)
    for host in backbone.hosts:
        modules = method_facts()[method].modules_at(host.site)
        for size in sizes if modules else ():
            cost = count(host, method, modules, size)
            insertion = insert_choice(host, Choice(host.site.id, method, size, modules, cost))
            tensors = {id(p): p.numel() for _, p in insertion.tensors()}
            assert cost == sum(tensors.values()) > 0, f"{method} {size} at {host.site.id}"
            remove_all([insertion])


def check_gradients(method: str, model: Any, batch: Batch) -> None:
    """All inserted tensors get gradients, and no tensor of the backbone does."""
    backbone = wrap("test", model)
    insertions = _insert(backbone, choices_for(backbone, method))
    for seed in range(3):  # one draw may leave a layer with no rectified unit that is above 0
        draw(insertions, seed)
        torch.autograd.backward(output_logits(model(**batch)).pow(2).sum())
    own = {id(p) for i in insertions for _, p in i.tensors()}
    for name, parameter in model.named_parameters():
        if id(parameter) in own:
            assert parameter.grad is not None, f"no gradient: {name}"
            assert parameter.grad.any(), f"a gradient of zero: {name}"
            assert is_inserted(name)
            assert parameter.dtype == torch.float32
        elif parameter.requires_grad:  # the head
            assert not is_inserted(name)
        else:
            assert parameter.grad is None, f"the backbone got a gradient: {name}"


def check_single_layers(method: str, model: Any, batch: Batch) -> None:
    """It works in one layer alone, and then equals all layers with the others masked out."""
    backbone = wrap("test", model)
    before = logits(model, batch)
    every = choices_for(backbone, method)
    layers = list(dict.fromkeys((h.site.stack, h.site.layer) for h in backbone.hosts))
    everywhere = _insert(backbone, every)
    size = max(choice.size for choice in every)
    wanted = {}
    for stack, layer in layers:
        here = [i for i in everywhere if i.choice.site.startswith(f"{stack}.{layer:02d}.")]
        switch(everywhere, torch.zeros(1, 1, size))
        switch(here, None)
        wanted[stack, layer] = logits(model, batch)
    values = {name: p.detach().clone() for i in everywhere for name, p in i.tensors()}
    remove_all(everywhere)
    for (stack, layer), expected in wanted.items():
        own = choices_for(backbone, method, layers=[(stack, layer)])
        if not own:  # refused there
            continue
        alone = _insert(backbone, own)
        with torch.no_grad():
            for name, parameter in (t for i in alone for t in i.tensors()):
                parameter.copy_(values[name])
        found = logits(model, batch)
        _different(found, before, f"{method} in {stack} layer {layer} alone")
        _close(found, expected, f"{method} in {stack} layer {layer} alone")
        remove_all(alone)
        assert torch.equal(logits(model, batch), before)


def check_save_and_load(method: str, model: Any, batch: Batch) -> None:
    """What is saved and loaded again gives the same logits bit for bit."""
    backbone = wrap("test", model)
    fresh = copy.deepcopy(model)
    apply(model, architecture_of(backbone, choices_for(backbone, method)))
    draw(insertions_of(model))
    before = logits(model, batch)
    with tempfile.TemporaryDirectory() as folder:
        native.save(model, folder)
        loaded = native.load(folder, fresh)
    assert torch.equal(logits(loaded, batch), before), f"{method} changes when it is loaded"
    again = dict(loaded.named_parameters())
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, again[name])
        assert parameter.requires_grad == again[name].requires_grad, name


def check_removal(method: str, model: Any, batch: Batch) -> None:
    """Taken off again, nothing is left: names, hooks, configs, attributes, logits."""
    backbone = wrap("test", model)
    before, trace = logits(model, batch), _trace(model)
    apply(model, architecture_of(backbone, choices_for(backbone, method)))
    draw(insertions_of(model))
    names = [name for name, _ in model.named_parameters() if not is_inserted(name)]
    assert names == trace[0][0], "a parameter of the backbone changed its name"
    _different(logits(model, batch), before, method)
    unapply(model)
    assert _trace(model) == trace, f"{method} leaves a trace"
    assert torch.equal(logits(model, batch), before)


def _trace(model: Any) -> list[tuple[Any, ...]]:
    """Return all of a model that an insertion may touch."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_state_dict_hooks")
    found: list[tuple[Any, ...]] = [([n for n, _ in model.named_parameters()],)]
    for name, module in model.named_modules():
        counts = tuple(len(getattr(module, kind)) for kind in hooks)
        config = id(module.config) if hasattr(module, "config") else None
        found.append((name, type(module), counts, config, tuple(sorted(vars(module)))))
    return found


def check_half_precision(method: str, model: Any, batch: Batch) -> None:
    """On a bfloat16 backbone, forward and backward are finite, and the layers stay float32."""
    model, batch = model.to(torch.bfloat16), in_precision(batch, torch.bfloat16)
    backbone = wrap("test", model)
    before = logits(model, batch)
    insertions = _insert(backbone, choices_for(backbone, method))
    for mask in (None, torch.ones(1, 1, max(i.choice.size for i in insertions))):
        switch(insertions, mask)
        output = output_logits(model(**batch))
        assert output.dtype == before.dtype == torch.bfloat16
        torch.autograd.backward(output.float().pow(2).mean())
        assert bool(output.isfinite().all())
    assert not torch.equal(output, before)
    for name, parameter in (t for i in insertions for t in i.tensors()):
        assert parameter.dtype == torch.float32
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name


def check_copy(method: str, model: Any, batch: Batch) -> None:
    """A deep copy of an applied model stands on its own feet."""
    backbone = wrap("test", model)
    plain = logits(model, batch)
    apply(model, architecture_of(backbone, choices_for(backbone, method)))
    draw(insertions_of(model))
    before = logits(model, batch)
    twin = copy.deepcopy(model)
    assert torch.equal(logits(twin, batch), before)
    draw(insertions_of(twin), seed=1)
    assert torch.equal(logits(model, batch), before), "the copy shares layers with the original"
    _different(logits(twin, batch), before, f"a deep copy of {method}")
    unapply(twin)
    assert torch.equal(logits(twin, batch), plain)
    assert torch.equal(logits(model, batch), before)


def check_attention_kernels(method: str, model: Any, batch: Batch) -> None:
    """Eager attention, chosen later, gives the same as sdpa."""
    backbone: Backbone = wrap("test", model)
    _insert(backbone, choices_for(backbone, method))
    before = logits(model, batch)
    model.set_attn_implementation("eager")
    _close(logits(model, batch), before, f"{method} with eager attention")


CHECKS: dict[str, Check] = {
    "identity at start": check_identity_at_start,
    "off": check_off,
    "on": check_on,
    "nested sizes": check_nested_sizes,
    "cost": check_cost,
    "gradients": check_gradients,
    "single layers": check_single_layers,
    "save and load": check_save_and_load,
    "removal": check_removal,
    "half precision": check_half_precision,
    "copy": check_copy,
    "attention kernels": check_attention_kernels,
}


def check_method(method: str, make: Callable[[], tuple[nn.Module, Batch]]) -> None:
    """Run every check of the contract, each on a fresh model.

    Args:
        method: Name of a registered method.
        make: Returns a new model and a batch for it.

    Raises:
        AssertionError: The method does not keep the contract.
    """
    for check in CHECKS.values():
        check(method, *make())


def host_of(backbone: Backbone, site: str) -> SiteHost:
    """Return the host of a site by its id."""
    return next(host for host in backbone.hosts if host.site.id == site)
