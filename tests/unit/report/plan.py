"""What a synthetic run is like: its sites, its search space, and architectures of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTHS = {"attention": 24, "cross_attention": 24, "feed_forward": 40, "norm": 1}


@dataclass(frozen=True)
class Plan:
    """What the synthetic run is like."""

    model: str = "micro-t5"
    task: str = "micro-nli"
    metric: str = "accuracy"
    stacks: tuple[tuple[str, int], ...] = (("encoder", 4), ("decoder", 3))
    combine: str = "one"
    seeds: int = 3
    found: float = 0.842
    baselines: tuple[tuple[str, float], ...] = (
        ("uniform-lora", 0.818),
        ("uniform-adapter", 0.801),
        ("uniform-prefix", 0.741),
        ("uniform-bitfit", 0.692),
        ("random-1", 0.779),
        ("random-2", 0.807),
    )
    note: str = ""


def parts(stack: str, layer: int) -> list[str]:
    """Parts of one layer."""
    cross = ["cross_attention"] if stack == "decoder" else []
    return ["attention", *cross, "feed_forward", "norm"]


def sites(plan: Plan) -> list[dict[str, Any]]:
    """The ``sites`` list of ``sites.json``."""
    return [
        {"id": f"{s}.{n:02d}.{p}", "stack": s, "layer": n, "part": p, "modules": _modules(p)}
        for s, depth in plan.stacks
        for n in range(depth)
        for p in parts(s, n)
    ]


def _modules(part: str) -> list[str]:
    return {"feed_forward": ["wi", "wo"], "norm": ["norm"]}.get(part, ["q", "k", "v", "o"])


def _candidates(part: str) -> list[dict[str, Any]]:
    width = WIDTHS[part]
    if part == "norm":
        return [{"method": "layernorm", "size": 1, "modules": ["norm"], "num_params": 64}]
    names: list[tuple[str, Sequence[int]]] = [("lora", (2, 4, 8)), ("bitfit", (1,)), ("ia3", (1,))]
    if part == "feed_forward":
        names += [("adapter", (4, 8)), ("parallel_adapter", (4, 8))]
    else:
        names += [("prefix", (4, 8))]
    cost = {"lora": width * 5, "adapter": width * 4, "parallel_adapter": width * 4, "prefix": 128}
    return [
        {
            "method": name,
            "size": size,
            "modules": _modules(part)[:2],
            "num_params": cost.get(name, 96) * size,
        }
        for name, sizes in names
        for size in sizes
    ]


def gates(plan: Plan) -> list[dict[str, Any]]:
    """The ``gates`` list of ``space.json``."""
    none = {"method": "none", "size": 0, "modules": [], "num_params": 0}
    result = []
    for entry in sites(plan):
        site = {"site": entry["id"], **{k: entry[k] for k in ("stack", "layer", "part", "modules")}}
        candidates = _candidates(entry["part"])
        groups = [candidates]
        if plan.combine == "many":
            names = dict.fromkeys(c["method"] for c in candidates)
            groups = [[c for c in candidates if c["method"] == n] for n in names]
        result += [{**site, "candidates": [none, *group]} for group in groups]
    return result


def choices(plan: Plan, seed: int = 3) -> list[dict[str, Any]]:
    """A plausible architecture: more towards the top, some sites empty."""
    draw = random.Random(seed)
    result = []
    for entry in sites(plan):
        own = [g for g in gates(plan) if g["site"] == entry["id"]]
        taken = []
        for gate in own:
            likely = 0.4 + 0.12 * entry["layer"] if plan.combine == "one" else 0.45
            if draw.random() < likely:
                taken.append(draw.choice(gate["candidates"][1:]))
        taken = taken or [{"method": "none", "num_params": 0}]
        result += [{"site": entry["id"], **choice} for choice in taken]
    return result
