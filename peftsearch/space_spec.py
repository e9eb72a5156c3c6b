"""A search space as written in YAML, and its application to the sites of one backbone.

Place in the flow: sites -> space. Torch-free: costs come in through a function.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peftsearch.architecture import NONE
from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.site import PARTS, Site
from peftsearch.space import (
    COMBINE,
    EMPTY,
    Candidate,
    Cost,
    Gate,
    MethodFacts,
    Removed,
    SearchSpace,
)


@dataclass(frozen=True)
class CandidateSpec:
    """One line under ``candidates``: a method, its modules (or its default ones), its sizes."""

    method: str
    modules: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class RuleSpec:
    """One entry under ``sites``: a selector and the candidates of the sites it selects."""

    stacks: tuple[str, ...]
    layers: tuple[int, ...]
    parts: tuple[str, ...]
    candidates: tuple[CandidateSpec, ...]

    def selects(self, site: Site) -> bool:
        """Whether the rule covers this site; an empty tuple selects everything."""
        return (
            (not self.stacks or site.stack in self.stacks)
            and (not self.layers or site.layer in self.layers)
            and (not self.parts or site.part in self.parts)
        )


@dataclass(frozen=True)
class SpaceSpec:
    """A search space as written in YAML.

    Attributes:
        name: Shown in plan and report.
        description: One or two sentences for humans.
        combine: ``"one"``: a site gets one candidate; ``"many"``: one per method.
        rules: The entries under ``sites``.
    """

    name: str
    description: str
    combine: str
    rules: tuple[RuleSpec, ...]


def parse_space(data: Any, methods: Mapping[str, MethodFacts], where: str) -> SpaceSpec:
    """Check a space read from YAML, collecting every problem before raising.

    Args:
        data: The parsed YAML.
        methods: The registered methods by name.
        where: Name of the file, for messages.

    Raises:
        ConfigError: Unknown keys, methods, modules or parts; duplicate or unsorted sizes.
    """
    problems: list[ConfigError] = []
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: a search space is a mapping with name, combine and sites.")
    _unknown(data, {"name", "description", "combine", "sites"}, where, problems)
    combine = data.get("combine", "one")
    if combine not in COMBINE:
        message = f'{where}: combine "{combine}" is not known.'
        problems.append(ConfigError(message, did_you_mean(str(combine), COMBINE)))
    entries = data.get("sites")
    if not isinstance(entries, list) or not entries:
        problems.append(ConfigError(f"{where}: sites must be a list with at least one entry."))
        entries = []
    rules = [_rule(e, methods, f"{where}: sites[{i}]", problems) for i, e in enumerate(entries)]
    if problems:
        raise ConfigError.collected(problems)
    name = str(data.get("name", where))
    return SpaceSpec(name, str(data.get("description") or ""), combine, tuple(rules))


def _rule(
    entry: Any, methods: Mapping[str, MethodFacts], where: str, problems: list[ConfigError]
) -> RuleSpec:
    if not isinstance(entry, dict):
        problems.append(ConfigError(f"{where} must be a mapping with where and candidates."))
        return RuleSpec((), (), (), ())
    _unknown(entry, {"where", "candidates"}, where, problems)
    selector = entry.get("where") or {}
    if not isinstance(selector, dict):
        problems.append(ConfigError(f"{where}.where must be a mapping."))
        selector = {}
    _unknown(selector, {"stack", "layer", "part"}, f"{where}.where", problems)
    parts = tuple(map(str, _as_list(selector.get("part"))))
    for part in parts:
        if part not in PARTS:
            message = f'{where}.where: part "{part}" is not known.'
            problems.append(ConfigError(message, did_you_mean(part, PARTS)))
    layers = _ints(selector.get("layer"), 0, f"{where}.where.layer", problems)
    listed = entry.get("candidates")
    if not isinstance(listed, list) or not listed:
        problems.append(ConfigError(f"{where}.candidates must be a list with at least one entry."))
        listed = []
    candidates = [
        _candidate(c, methods, f"{where}.candidates[{i}]", problems) for i, c in enumerate(listed)
    ]
    stacks = tuple(map(str, _as_list(selector.get("stack"))))
    return RuleSpec(stacks, layers, parts, tuple(c for c in candidates if c is not None))


def _candidate(
    entry: Any, methods: Mapping[str, MethodFacts], where: str, problems: list[ConfigError]
) -> CandidateSpec | None:
    if not isinstance(entry, dict):
        problems.append(ConfigError(f"{where} must be a mapping with method and sizes."))
        return None
    _unknown(entry, {"method", "modules", "sizes"}, where, problems)
    name = str(entry.get("method"))
    if name not in methods:
        message = f'{where}: method "{name}" is not known.'
        problems.append(ConfigError(message, did_you_mean(name, methods)))
        return None
    if name == NONE:
        problems.append(ConfigError(f"{where}: none is a candidate everywhere; remove the line."))
        return None
    sizes = _ints(entry.get("sizes"), 1, f"{where}.sizes", problems)
    if methods[name].sized and not sizes:
        problems.append(ConfigError(f"{where}: {name} needs sizes, e.g. sizes: [1, 2, 4]."))
    if not methods[name].sized and sizes:
        problems.append(ConfigError(f"{where}: {name} has no sizes; remove the key."))
    modules = tuple(map(str, _as_list(entry.get("modules"))))
    return CandidateSpec(name, modules, sizes or (1,))


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _ints(value: Any, least: int, where: str, problems: list[ConfigError]) -> tuple[int, ...]:
    numbers = _as_list(value)
    if any(isinstance(n, bool) or not isinstance(n, int) or n < least for n in numbers):
        message = f"{where} must be whole numbers from {least}, not {value}."
        problems.append(ConfigError(message))
        return ()
    if len(set(numbers)) != len(numbers) or sorted(numbers) != numbers:
        problems.append(ConfigError(f"{where} must rise without repeats, not {value}."))
    return tuple(numbers)


def _unknown(
    data: Mapping[Any, Any], known: set[str], where: str, problems: list[ConfigError]
) -> None:
    for key in data:
        if key not in known:
            message = f'{where}: unknown key "{key}".'
            problems.append(ConfigError(message, did_you_mean(str(key), known)))


def apply_space(
    spec: SpaceSpec, sites: Sequence[Site], methods: Mapping[str, MethodFacts], cost: Cost
) -> SearchSpace:
    """Apply a space to the sites of a backbone and count every candidate.

    Rules are read in order; a site covered by several rules gets the candidates of all. What a
    site refuses is left out, and kept in :attr:`SearchSpace.removed`.

    Raises:
        ConfigError: A selector matches no site, or names modules that no selected site has, or
            all that the space offers is refused.
    """
    problems: list[ConfigError] = []
    found: dict[Site, list[Candidate]] = {}
    refused: dict[tuple[str, str], set[tuple[str, CandidateSpec, int]]] = {}
    for index, rule in enumerate(spec.rules):
        selected = [site for site in sites if rule.selects(site)]
        if not selected:
            problems.append(_no_match(rule, index, sites))
        for candidate in rule.candidates if selected else ():
            facts = methods[candidate.method]
            fitting = [site for site in selected if site.part in facts.modules]
            if not _is_there(candidate, facts, fitting):
                problems.append(_no_modules(candidate, index, selected, methods))
                continue
            _note_refusals(candidate, fitting, refused)
            _attach(candidate, fitting, facts, cost, found)
    if problems:
        raise ConfigError.collected(problems)
    removed = tuple(
        Removed(method, (), reason, len({site for site, *_ in lost}), len(lost))
        for (method, reason), lost in refused.items()
    )
    if not found:
        reasons = "\n".join(f"  {one}" for one in removed)
        message = f"The space {spec.name} has nothing that this model can have:\n{reasons}"
        raise ConfigError(message, "Take another --space. peftsearch list spaces")
    gates = [gate for site in sites if site in found for gate in _gates(spec, site, found[site])]
    return SearchSpace(spec.name, spec.description, spec.combine, tuple(gates), removed=removed)


def _is_there(spec: CandidateSpec, facts: MethodFacts, sites: Sequence[Site]) -> bool:
    """Whether one of the sites has a default module, or each named one is at some of them.

    A refusal needs no module: it is told in place of one.
    """
    if any(spec.method in site.refused for site in sites):
        return True
    if spec.modules:
        return all(any(site.resolve([name]) for site in sites) for name in spec.modules)
    return any(site.resolve(facts.modules[site.part]) for site in sites)


def _note_refusals(
    spec: CandidateSpec,
    sites: Iterable[Site],
    refused: dict[tuple[str, str], set[tuple[str, CandidateSpec, int]]],
) -> None:
    """Remember by method and reason which candidates of a line sites refuse."""
    for site in sites:
        if spec.method in site.refused:
            lost = refused.setdefault((spec.method, site.refused[spec.method]), set())
            lost.update((site.id, spec, size) for size in spec.sizes)


def _attach(
    spec: CandidateSpec,
    sites: Iterable[Site],
    facts: MethodFacts,
    cost: Cost,
    found: dict[Site, list[Candidate]],
) -> None:
    """Add the candidates of one line to every site that can hold them."""
    for site in sites:
        modules = facts.modules_at(site, spec.modules)
        if not modules:
            continue
        entries = found.setdefault(site, [])
        for size in spec.sizes:
            num_params = cost(site, spec.method, modules, size)
            candidate = Candidate(spec.method, size, modules, num_params)
            if candidate not in entries:
                entries.append(candidate)


def _gates(spec: SpaceSpec, site: Site, candidates: Sequence[Candidate]) -> list[Gate]:
    if spec.combine == "one":
        return [Gate(site, (EMPTY, *candidates))]
    names = list(dict.fromkeys(c.method for c in candidates))
    return [Gate(site, (EMPTY, *(c for c in candidates if c.method == n))) for n in names]


def _no_match(rule: RuleSpec, index: int, sites: Sequence[Site]) -> ConfigError:
    """Name the first part of the selector that nothing has, and the nearest thing that is there."""
    for label, wanted, there in (
        ("stack", rule.stacks, {s.stack for s in sites}),
        ("part", rule.parts, {s.part for s in sites}),
        ("layer", tuple(map(str, rule.layers)), {str(s.layer) for s in sites}),
    ):
        missing = [w for w in wanted if w not in there]
        if missing:
            message = f'sites[{index}].where: {label} "{missing[0]}" matches no site of this model.'
            return ConfigError(message, did_you_mean(missing[0], there))
    return ConfigError(f"sites[{index}].where: no site of this model has all that is asked for.")


def _no_modules(
    spec: CandidateSpec,
    index: int,
    sites: Sequence[Site],
    methods: Mapping[str, MethodFacts],
) -> ConfigError:
    parts = methods[spec.method].modules
    held = {m for site in sites if site.part in parts for m in site.modules}
    if not held:
        message = f"sites[{index}]: {spec.method} cannot attach to part {sites[0].part}."
        return ConfigError(message, f"It attaches to: {', '.join(parts)}.")
    named = list(spec.modules)
    message = f"sites[{index}]: {spec.method} names modules {named} that are not there."
    return ConfigError(message, did_you_mean(spec.modules[0], held))
