"""What each target can hold, as a Markdown table made from the exporters' own declarations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from peftsearch.catalogue import ExporterCard, exporters, families, method_facts

BEGIN, END = "<!-- capabilities: begin -->", "<!-- capabilities: end -->"
#: Reason by part of a layer and model type.
Reasons = Mapping[tuple[str, str], str]


def capability_table() -> str:
    """Return one row per method and one column per target, and every reason below."""
    targets = exporters()
    methods = [card for card in method_facts().values() if card.name != "none"]
    lines = [
        "| method | " + " | ".join(f"`{name}`" for name in targets) + " |",
        "| --- |" + " --- |" * len(targets),
    ]
    for method in methods:
        cells = [_cell(_reasons(card, method.name)) for card in targets.values()]
        lines.append(f"| `{method.name}` | " + " | ".join(cells) + " |")
    lines.append("")
    for card in targets.values():
        lines += _notes(card, [method.name for method in methods])
    return "\n".join(lines)


def renewed(text: str) -> str:
    """Return a document with the table between its marks made anew."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{capability_table()}\n{END}{tail}"


def _reasons(card: ExporterCard, method: str) -> Reasons:
    """Ask a card about every part that a method attaches to and every model type."""
    return {
        (part, family): card.reason(method, part, family)
        for part in method_facts()[method].modules
        for family in families()
    }


def _cell(reasons: Reasons) -> str:
    if not any(reasons.values()):
        return "yes"
    return "no" if all(reasons.values()) else "in part"


def _notes(card: ExporterCard, methods: list[str]) -> Iterator[str]:
    """Yield one line for each reason: target, methods, where, why."""
    where: dict[tuple[str, str], list[str]] = {}
    for method in methods:
        reasons = _reasons(card, method)
        for reason in dict.fromkeys(filter(None, reasons.values())):
            where.setdefault((reason, _place(reasons, reason)), []).append(f"`{method}`")
    for (reason, place), names in where.items():
        yield f"- `{card.name}`, {', '.join(names)}{place}: {reason}."


def _place(reasons: Reasons, reason: str) -> str:
    """Say at which parts and on which model types a reason holds; ``""`` for everywhere."""
    every = {place[0] for place in reasons}, {place[1] for place in reasons}
    there = [place for place, why in reasons.items() if why == reason]
    parts, types = {part for part, _ in there}, {family for _, family in there}
    found = "" if parts == every[0] else f" at {', '.join(sorted(parts))}"
    return found + ("" if types == every[1] else f" on {', '.join(sorted(types))}")
