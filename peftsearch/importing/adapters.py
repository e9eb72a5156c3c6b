"""AdapterHub's configs: LoRA, IA3, bottlenecks and prefixes, also as a union or a stack.

A config says everything: places, sizes, layers left out. Weights are not read: that library keeps
them as pickles, which can run code. What it computes otherwise than this package is known to the
exporter for it, and is refused here with the same reasons.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.errors import ConfigError
from peftsearch.export.adapters_places import SWITCHES, layer_number, map_switch, width_at
from peftsearch.export.base import Problem
from peftsearch.export.writing import problems
from peftsearch.importing.pieces import NO_TASK, Piece, assemble, refusal, twice, whole
from peftsearch.rundir import read_json
from peftsearch.site import Site

SETUP, CONFIG = "adapter_setup.json", "adapter_config.json"
#: What each kind of config must say, and what it says if it says nothing; ``...`` stands for
#: values that are read. Other keys act on the start or on the training alone.
_BOTTLENECK: dict[str, Any] = {
    "non_linearity": "relu",
    "original_ln_before": False,
    "original_ln_after": True,
    "residual_before_ln": True,
    "ln_before": False,
    "ln_after": False,
    "scaling": 1.0,
    "use_gating": False,
    "inv_adapter": None,
    "phm_layer": False,
    "stochastic_depth": 0.0,
}
_LORA: dict[str, Any] = {"use_gating": False, "use_dora": False, "vera_d": None, "vera_b": None}
_PREFIX: dict[str, Any] = {"flat": True, "use_gating": False}
#: What that library takes for granted where it differs from what is needed here.
_GRANTED = {"flat": False}
_FREE = {
    None: {
        *("mh_adapter", "output_adapter", "cross_adapter", "reduction_factor", "is_parallel"),
        *("leave_out", "dropout", "init_weights", "init_weights_seed", "architecture"),
        *("adapter_residual_before_ln", "inv_adapter_reduction_factor"),
        *("phm_dim", "factorized_phm_W", "shared_W_phm", "shared_phm_rule", "phm_rank"),
        *("factorized_phm_rule", "phm_c_init", "phm_init_range", "learn_phm", "phm_bias"),
        "hypercomplex_nonlinearity",
    },
    "lora": {
        *("architecture", "selfattn_lora", "intermediate_lora", "output_lora", "leave_out"),
        *("r", "alpha", "dropout", "attn_matrices", "composition_mode", "dtype"),
        *("init_weights", "init_weights_seed"),
    },
    "prefix_tuning": {
        *("architecture", "encoder_prefix", "cross_prefix", "leave_out", "prefix_length"),
        *("bottleneck_size", "non_linearity", "dropout", "shared_gating", "init_weights_seed"),
    },
}
_KINDS = {None: _BOTTLENECK, "lora": _LORA, "prefix_tuning": _PREFIX}


def configs_of(path: Path) -> list[dict[str, Any]]:
    """Return the single configs of a folder or file.

    Args:
        path: A folder with a setup or an adapter, or a JSON file with a config.

    Raises:
        ConfigError: A setup is no plain stack, or a config is named and not written out.
    """
    if (path / SETUP).is_file():
        names = _stack(read_json(path / SETUP)["adapter_setup"], path)
        return [one for name in names for one in _written_out(path / name)]
    return _written_out(path)


def _written_out(path: Path) -> list[dict[str, Any]]:
    """Return the configs of one adapter."""
    data = read_json(path / CONFIG if path.is_dir() else path)
    config = data.get("config", data)
    if not isinstance(config, dict):
        raise ConfigError(
            f"{path} names the config {config!r} and does not write it out.",
            "Save it with that library's save_adapter.",
        )
    if config.get("architecture") == "union":
        return list(config["configs"])
    return [config]


def _stack(setup: Any, path: Path) -> Iterator[str]:
    """Yield the names of a stack."""
    kind = setup.get("type") if isinstance(setup, dict) else type(setup).__name__
    if kind == "single":
        yield from setup["children"]
    elif kind == "Stack":
        for child in setup["children"]:
            yield from _stack(child, path)
    elif isinstance(setup, str):
        yield setup
    else:
        raise ConfigError(f"{path / SETUP} has a {kind}; only a Stack is one model here.")


def read(path: Path, backbone: Backbone, task: str = NO_TASK) -> Architecture:
    """Return the architecture that configs describe on a backbone.

    Raises:
        ConfigError: It was made for another kind of model.
        ExportError: Something of it has no place in an architecture; all is listed.
    """
    _check_model(path, backbone)
    pieces: list[Piece] = []
    found: list[Problem] = []
    try:
        for config in configs_of(path):
            own, wrong = _pieces(config, backbone)
            pieces += own
            found += wrong
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        said = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path} is no config of the adapters library ({said}).") from error
    found += twice(pieces)
    architecture = assemble(dict.fromkeys(pieces), backbone, task)
    known = {(each.site, each.method) for each in found}
    for each in problems("adapters", architecture, backbone):
        if (each.site, each.method) not in known:
            found.append(each)
    if found:
        raise refusal(path, found)
    return architecture


def _check_model(path: Path, backbone: Backbone) -> None:
    if not (path / CONFIG).is_file():
        return
    data = read_json(path / CONFIG)
    width = getattr(backbone.model.config, "hidden_size", None)  # two towers have two
    here = {"model_type": backbone.family, "hidden_size": width}
    for key, value in here.items():
        if data.get(key, value) != value:
            raise ConfigError(
                f"{path} was made for a model of {key} {data[key]}; {backbone.name} has {value}.",
                "Name its own backbone: --model ID|DIR",
            )


def _pieces(config: Mapping[str, Any], backbone: Backbone) -> tuple[list[Piece], list[Problem]]:
    """Return what one config puts where, and what of it has no place here."""
    kind = config.get("architecture")
    if kind not in _KINDS:
        reason = "peftsearch has no such method"
        return [], [Problem("all sites", str(kind), reason)]
    readers = {None: _bottlenecks, "lora": _loras, "prefix_tuning": _prefixes}
    left_out = set(config.get("leave_out", ()))
    sites = [site for site in backbone.sites if layer_number(backbone, site.id) not in left_out]
    pieces: list[Piece] = []
    wrong: list[Problem] = []
    for site in sites:
        for entry in readers[kind](config, site, backbone):
            (pieces if isinstance(entry, Piece) else wrong).append(entry)  # type: ignore[arg-type]
    reasons = list(_settings(config, kind))
    places = dict.fromkeys((piece.site, piece.method) for piece in pieces)
    wrong += [Problem(*place, reason) for place in places for reason in reasons]
    return pieces, wrong


def _settings(config: Mapping[str, Any], kind: str | None) -> Iterator[str]:
    """Yield the settings that make another function than the methods of this package."""
    wanted = _KINDS[kind]
    for key, value in wanted.items():
        found = config.get(key, _GRANTED.get(key, value))
        if found != value:
            yield f"{key} is {json.dumps(found)}, and here it is {json.dumps(value)}"
    for key in sorted(set(config) - set(wanted) - _FREE[kind]):
        yield f"{key} is not known"


def _size(config: Mapping[str, Any], key: str, plain: int) -> int:
    """Return a size that is said in so many numbers; ``plain`` is that library's own."""
    size = config.get(key, plain)
    if type(size) is not int or size < 1:
        raise ValueError(f"{key} is {json.dumps(size)}, not a whole number of at least 1")
    return size


def _bottlenecks(
    config: Mapping[str, Any], site: Site, backbone: Backbone
) -> Iterator[Piece | Problem]:
    method = "parallel_adapter" if config.get("is_parallel") else "adapter"
    if site.part not in SWITCHES or not config.get(SWITCHES[site.part], False):
        return
    if method == "parallel_adapter" and site.part != "feed_forward":
        yield Problem(site.id, method, "here it stands beside a feed-forward and nowhere else")
        return
    factor = config["reduction_factor"]
    if isinstance(factor, Mapping):
        own = str(layer_number(backbone, site.id))
        factor = factor[own] if own in factor else factor["default"]
    size = int(width_at(backbone, site.id) // factor)
    if size < 1:
        yield Problem(site.id, method, f"the reduction factor {factor} leaves no units")
        return
    yield from whole(backbone, site.id, method, size)


def _loras(config: Mapping[str, Any], site: Site, backbone: Backbone) -> Iterator[Piece | Problem]:
    scales = config.get("composition_mode", "add") == "scale"
    method, size = ("ia3", 1) if scales else ("lora", _size(config, "r", 8))
    if site.part.endswith("attention") and config.get("selfattn_lora", True):
        for name in config.get("attn_matrices", ("q", "v")):
            if name in site.modules:
                yield Piece(site.id, method, size, name)
            else:
                yield Problem(site.id, method, f"there is no matrix {name}")
    for name in ("up", "down") if site.part == "feed_forward" else ():
        if config.get(map_switch(backbone, name), False):
            if scales and name == "down":
                yield Problem(site.id, method, "it rescales the output of down, and here the input")
            else:  # IA3's factors are stored where they are made; here, where they are read
                yield Piece(site.id, method, size, "down" if scales else name)
    if scales and config.get("r", 1) != 1:
        yield Problem(site.id, method, f"r is {config['r']}, and only vectors rescale")


def _prefixes(
    config: Mapping[str, Any], site: Site, backbone: Backbone
) -> Iterator[Piece | Problem]:
    if not site.part.endswith("attention"):
        return
    if site.part == "cross_attention":
        wanted = config.get("cross_prefix", True)
    elif backbone.model.config.is_encoder_decoder and site.stack == "encoder":
        wanted = config.get("encoder_prefix", True)
    else:
        wanted = True
    if wanted:
        yield from whole(backbone, site.id, "prefix", _size(config, "prefix_length", 30))
