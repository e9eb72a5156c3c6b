"""The report as Markdown, to be put into a model card.

Place in the flow: collect, tables, findings -> **markdown** -> ``report/report.md``. Text that came
from a user, a model or a data set is escaped, so that none of it becomes markup.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

from peftsearch.architecture import NONE
from peftsearch.catalogue import method_facts
from peftsearch.report import findings, tables, wording
from peftsearch.report.collect import RunData
from peftsearch.report.definitions import ALERT_TITLES
from peftsearch.report.figures import Drawing
from peftsearch.report.loading import apply_lines, exports
from peftsearch.site import PARTS

_SPECIAL = re.compile(r"([\\`*_\[\]|~$>])")
_BEGINS = re.compile(r"^([#+-]|\d+(?=[.)]\s))")


def escape(text: object) -> str:
    """Return text on one line in which nothing is Markdown or HTML."""
    line = wording.plain(text, 400).replace("&", "&amp;").replace("<", "&lt;")
    line = _SPECIAL.sub(r"\\\1", line)
    return _BEGINS.sub(lambda found: f"&#{ord(found[1][0])};{found[1][1:]}", line)


def fenced(text: str, language: str = "") -> str:
    """Return a block of code, fenced by more backticks than it holds."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table; cells are escaped already."""
    lines = [list(head), *([*row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def render(data: RunData, drawings: Mapping[str, Drawing]) -> str:
    """Return the whole text: the answer, the layer assignment, patterns, and how to use it."""
    facts = data.facts
    parts = [
        f"# {escape(facts.model or 'unknown')} on {escape(facts.task or 'unknown')}",
        escape(findings.headline(data)),
        escape(findings.budget_line(facts)),
    ]
    alerts = [
        f"- **{escape(ALERT_TITLES.get(code, code))}.** {escape(text)}"
        for code, text in findings.alerts(data)
    ]
    parts += ["\n".join(alerts)] if alerts else []
    parts += ["## Layer assignment", *_assignment(data, drawings)]
    sentences = [f"- {escape(sentence)}" for sentence in findings.pattern_sentences(data)]
    nothing = f"Nothing certain was found. {escape(findings.no_patterns(data))}"
    parts += ["## Patterns", "\n".join(sentences) or nothing]
    parts += ["## Scores", *_scores(data)]
    parts += ["## Use it", *_use(data)]
    if facts.command:
        words = ["peftsearch", *facts.command[1:]]
        parts += ["## How it was made", fenced(shlex.join(words))]
    return wording.valid("\n\n".join(parts)) + "\n"


def _assignment(data: RunData, drawings: Mapping[str, Drawing]) -> list[str]:
    rows = tables.layer_assignment(data)
    if rows.empty:
        return ["No architecture has been chosen yet."]
    found = []
    if "layer-assignment" in drawings:
        alt = escape(drawings["layer-assignment"].alt)
        found.append(f"![{alt}](figures/layer-assignment.png)")
    cards = method_facts()
    for stack in tables.ordered(rows["stack"], tables.STACKS):
        own = rows[rows["stack"] == stack]
        parts = tables.ordered(own["part"], PARTS)
        lines = []
        for layer in sorted({int(n) for n in own["layer"]}, reverse=True):
            cells = [f"{layer}"]
            for part in parts:
                here = own[(own["layer"] == layer) & (own["part"] == part)]
                chosen = [
                    escape(f"{c['method']} {c['size']}")
                    if c["method"] not in cards or cards[str(c["method"])].sized
                    else escape(c["method"])
                    for c in tables.records(here[here["method"] != NONE])
                ]
                cells.append(" + ".join(chosen) or wording.NOTHING)
            lines.append(cells)
        heads = [f"{escape(stack)} layer", *(escape(wording.label(part)) for part in parts)]
        found.append(table(heads, lines))
    return found


def _scores(data: RunData) -> list[str]:
    metric = data.facts.metric
    rows = [
        [
            escape(row["name"]),
            wording.count(row["num_params"]),
            escape(wording.spread(row["mean"], row["sd"], metric)),
            wording.count(row["n"]),
        ]
        for row in tables.records(tables.scores(data))
    ]
    if not rows:
        return ["No retraining has ended yet."]
    return [table(["architecture", "parameters", f"{escape(metric)} on test", "n"], rows)]


def _use(data: RunData) -> list[str]:
    found = []
    for export in exports(data):
        found.append(f"**{escape(export.target)}**: {escape(export.status)}")
        if export.lines:
            found.append(fenced(export.lines, "python"))
    if len(data.choices):
        found += ["On any transformers model that has these sites:"]
        found += [fenced(apply_lines(data), "python")]
    return found or ["Nothing has been exported yet."]
