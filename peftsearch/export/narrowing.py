"""A search space without what a target cannot hold, so that whatever is found can be exported.

Place in the flow: sites -> space -> **narrowed** -> supernet. Every candidate is shown to the
exporters as the only choice of an architecture; what they hold only together with another one goes
too, since the search decides each gate for itself. Then candidates of different gates of one site
are shown in pairs; where two do not go together, the one of the first gate stays. That is enough
for every built-in target: beyond pairs they refuse but the empty architecture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from peftsearch.architecture import NONE, Architecture, Choice
from peftsearch.backbones.base import Backbone
from peftsearch.errors import ConfigError
from peftsearch.export.writing import problems
from peftsearch.space import EMPTY, Candidate, Gate, Removed, SearchSpace


def narrowed(space: SearchSpace, targets: Sequence[str], backbone: Backbone) -> SearchSpace:
    """Return a space whose every architecture, but the empty one, each target can hold.

    Args:
        space: A space on the sites of the backbone.
        targets: Names of exporters; without any the space stays as it is.
        backbone: The backbone; its weights are not read.

    Raises:
        ConfigError: There is no such target, or nothing but ``none`` is left.
    """
    if not targets:
        return space
    found = held(space, targets, backbone)
    if not found.gates:
        reasons = "\n".join(f"  {one}" for one in found.removed)
        every = "it" if len(found.exportable_to) == 1 else "each of them"
        raise ConfigError(
            f"exportable_to is {', '.join(found.exportable_to)}, and {every} can hold nothing of "
            f"the space {space.name} on this model ({backbone.family}):\n{reasons}",
            "Take another --space, or name other targets: --exportable-to NAME,NAME",
        )
    return replace(found, removed=(*space.removed, *found.removed))


def held(space: SearchSpace, targets: Sequence[str], backbone: Backbone) -> SearchSpace:
    """Return the part of a space that each target can hold, which may be nothing.

    Args:
        space: A space on the sites of the backbone.
        targets: Names of exporters.
        backbone: The backbone; its weights are not read.

    Raises:
        ConfigError: There is no such target.
    """
    look = _Look(tuple(dict.fromkeys(targets)), backbone)
    gates: list[Gate] = []
    for gate in space.gates:
        there = [g for g in gates if g.site == gate.site]
        candidates = [c for c in gate.candidates[1:] if look.keeps(gate, c, there)]
        gates.append(Gate(gate.site, (EMPTY, *candidates)))
    kept = tuple(gate for gate in gates if len(gate.candidates) > 1)
    return replace(space, gates=kept, exportable_to=look.targets, removed=look.removed())


@dataclass
class _Look:
    """Asks the exporters about candidates, and remembers what they refused.

    Attributes:
        targets: Names of exporters.
        backbone: The backbone.
        refused: By method and reason: the targets, and every candidate with its site.
    """

    targets: tuple[str, ...]
    backbone: Backbone
    refused: dict[tuple[str, str], tuple[set[str], set[Choice]]] = field(default_factory=dict)

    def keeps(self, gate: Gate, candidate: Candidate, there: Sequence[Gate]) -> bool:
        """Whether all targets hold a candidate, also beside any that was kept at its site."""
        own = _choice(gate, candidate)
        found = set(self._refusals(own))
        if not found:
            others = [_choice(g, c) for g in there for c in g.candidates if c.method != NONE]
            found = {refusal for other in others for refusal in self._refusals(own, other)}
        for target, reason in sorted(found):
            targets, choices = self.refused.setdefault((own.method, reason), (set(), set()))
            targets.add(target)
            choices.add(own)
        return not found

    def _refusals(self, *choices: Choice) -> Iterator[tuple[str, str]]:
        """Yield target and reason of all that stands against these choices together.

        What stands against every choice, as a head, is a reason only where no other is.
        """
        together = Architecture(self.backbone.name, "", 0, "", 0, choices)
        for target in self.targets:
            found = problems(target, together, self.backbone)
            own = [problem for problem in found if problem.method in together.methods]
            for problem in own or found:
                yield target, problem.reason

    def removed(self) -> tuple[Removed, ...]:
        """Return what was refused, one entry for each method and reason."""
        return tuple(
            Removed(
                method=method,
                targets=tuple(t for t in self.targets if t in targets),
                reason=reason,
                sites=len({choice.site for choice in choices}),
                candidates=len(choices),
            )
            for (method, reason), (targets, choices) in self.refused.items()
        )


def _choice(gate: Gate, candidate: Candidate) -> Choice:
    c = candidate
    return Choice(gate.site.id, c.method, c.size, c.modules, c.num_params)
