"""What candidates add to the time of a forward pass on this machine, measured once.

Every method that may be chosen is put on all sites of a kind (a part of a stack) at once, at its
least and its largest size, and the forward pass of a batch of real rows is timed beside that of the
frozen model, in turns, so that a change of the machine's speed hits both. What one insertion adds
is the median difference over the number of sites, as a share of the frozen model's time; between
and beyond the sizes it is a straight line. What an architecture adds is taken to be the sum, and is
measured as a whole once it has been found.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from peftsearch.architecture import NONE, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.injection import insert_choice, remove_all
from peftsearch.resources import Meter
from peftsearch.site import Site

NAME = "latency"
#: Rounds in which everything is timed once, after one that is not counted.
ROUNDS = 9
#: Variants between two passes of the frozen model.
_BETWEEN = 4
#: Rows of the batch.
ROWS = 8
#: One forward pass; its result is not looked at.
Forward = Callable[[], object]
#: Kind of site, method, modules.
Key = tuple[str, str, tuple[str, ...]]


@dataclass(frozen=True)
class Line:
    """What one insertion adds to the frozen model's time, as a share of it.

    Attributes:
        start: At size 0.
        slope: For every one of the size, >= 0.
    """

    start: float
    slope: float

    def at(self, size: int) -> float:
        """Return the share at a size, >= 0: nothing makes a model faster."""
        return max(0.0, self.start + self.slope * size)


@dataclass(frozen=True)
class Timings:
    """The table of a machine.

    Attributes:
        seconds: Median time of a forward pass of the frozen model.
        lines: What an insertion adds, by kind of site, method and modules.
    """

    seconds: float
    lines: Mapping[Key, Line]

    def meter(self) -> Meter:
        """Return what inserting something adds; infinite for a method that was not timed there."""

        def share(site: Site, method: str, modules: tuple[str, ...], size: int) -> float:
            line = self.lines.get((kind(site), method, modules))
            if line is not None:
                return line.at(size)
            like = [
                other.at(size) * len(modules) / len(names)
                for (where, what, names), other in self.lines.items()
                if (where, what) == (kind(site), method)
            ]
            return max(like, default=float("inf"))

        return share

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``latency.json``."""
        lines = [
            {"sites": where, "method": method, "modules": list(modules), **asdict(line)}
            for (where, method, modules), line in self.lines.items()
        ]
        return {"format": 1, "seconds": self.seconds, "lines": lines}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Timings:
        """Read the content of ``latency.json``."""
        lines = {
            (row["sites"], row["method"], tuple(row["modules"])): Line(row["start"], row["slope"])
            for row in data["lines"]
        }
        return cls(data["seconds"], lines)


def kind(site: Site) -> str:
    """Return which sites are timed together, e.g. ``encoder.attention``."""
    return f"{site.stack}.{site.part}"


def measure(
    backbone: Backbone, wanted: Iterable[Choice], forward: Forward, rounds: int = ROUNDS
) -> Timings:
    """Time every kind of insertion.

    Args:
        backbone: The frozen model; as before when this returns.
        wanted: Whatever may be inserted; of each method, modules and kind of site the least and
            the largest size are timed.
        forward: A forward pass of the model.
        rounds: How often each is timed.
    """
    sites = {site.id: site for site in backbone.sites}
    sizes: dict[Key, set[int]] = {}
    for choice in wanted:
        if choice.method != NONE:
            key = (kind(sites[choice.site]), choice.method, choice.modules)
            sizes.setdefault(key, set()).add(choice.size)
    variants = [
        (key, size) for key, all_ in sizes.items() for size in sorted({min(all_), max(all_)})
    ]
    places = {key: _places(backbone, key) for key in sizes}
    each = [[Choice(s.id, k[1], size, k[2]) for s in places[k]] for k, size in variants]
    frozen, shares = timed(backbone, each, forward, rounds)
    lines: dict[Key, Line] = {}
    for key in sizes:
        points = [
            (size, share / len(places[key]))
            for (other, size), share in zip(variants, shares, strict=True)
            if other == key
        ]
        lines[key] = _line(points)
    return Timings(frozen, lines)


def _places(backbone: Backbone, key: Key) -> list[Site]:
    where, _, modules = key
    return [s for s in backbone.sites if kind(s) == where and set(modules) <= set(s.modules)]


def _line(points: Sequence[tuple[int, float]]) -> Line:
    """Return the line through the points; flat where noise says that more takes less time."""
    (first, low), (last, high) = points[0], points[-1]
    slope = max(0.0, (high - low) / (last - first)) if last > first else 0.0
    return Line((low + high) / 2 - slope * (first + last) / 2, slope)


def timed(
    backbone: Backbone,
    variants: Sequence[Sequence[Choice]],
    forward: Forward,
    rounds: int = ROUNDS,
) -> tuple[float, list[float]]:
    """Time the frozen model, and what lists of choices add to it.

    Returns:
        Median seconds of the frozen model, and for each list the median share of its time that is
        added: each pass is compared with the one of the frozen model just before it.
    """
    hosts = {host.site.id: host for host in backbone.hosts}
    alone: list[float] = []
    more: list[list[float]] = [[] for _ in variants]
    backbone.model.eval()
    with torch.no_grad():
        for number in range(rounds + 1):
            base = 0.0
            for place, choices in enumerate(variants):
                if place % _BETWEEN == 0:
                    base = seconds(backbone, forward)
                    alone += [base] * (number > 0)
                insertions = [insert_choice(hosts[choice.site], choice) for choice in choices]
                try:
                    taken = seconds(backbone, forward)
                finally:
                    remove_all(insertions)
                more[place] += [taken / base - 1] * (number > 0)
    return statistics.median(alone), [statistics.median(each) for each in more]


def seconds(backbone: Backbone, forward: Forward) -> float:
    """Return how long a forward pass takes."""
    device = next(backbone.model.parameters()).device
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    forward()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began
