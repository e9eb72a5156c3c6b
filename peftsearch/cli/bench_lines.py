"""What ``bench`` prints for humans, as lines of text; nothing is printed here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from peftsearch.cli.rendering import table
from peftsearch.errors import paste

_HEADS = ["budget", "strategy", "percentile", "regret", "tau", "over", "cost", "measured"]
_DIGITS = {"percentile": 1, "regret": 2, "tau": 2, "cost": 2, "measured": 2}


def bench_lines(result: Mapping[str, Any], out: Path) -> list[str]:
    """Return the result of a benchmark: a block per table, the comparisons, and the folder.

    Args:
        result: Content of ``bench.json``.
        out: Its folder.
    """
    lines = []
    for name, facts in result["tables"].items():
        lines += _table_lines(name, facts, result)
    lines += [_against(found) for found in result["comparisons"]]
    return [*lines, f"Written: {out}"]


def _table_lines(name: str, facts: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    rows = [_HEADS]
    for budget, own in facts["budgets"].items():
        rows += [
            _row(cell)
            for cell in result["summary"]
            if (cell["table"], cell["budget"]) == (name, budget)
        ]
        best = own["ceiling"]
        numbers = [f"{best[key]:.{_DIGITS[key]}f}" for key in ("percentile", "regret", "tau")]
        rows.append([budget, "(noise ceiling)", *numbers, "", "", ""])
    return [
        f"{name}: {facts['architectures']:,} architectures, {facts['seeds']} training seeds, "
        f"{facts['metric']}; preset {result['preset']}, {result['seeds']} searches each, "
        "median [lowest, highest]",
        *table(rows, "  "),
        "  regret in points; cost in single trainings, as counted and as measured",
    ]


def _row(cell: Mapping[str, Any]) -> list[str]:
    shown = {key: _spread(cell[key], digits) for key, digits in _DIGITS.items()}
    first, second = ["percentile", "regret", "tau"], ["cost", "measured"]
    return [
        cell["budget"],
        cell["strategy"],
        *(shown[key] for key in first),
        str(cell["violations"]),
        *(shown[key] for key in second),
    ]


def _spread(spread: Mapping[str, float] | None, digits: int) -> str:
    if spread is None:
        return "none"
    low, high = (f"{spread[key]:.{digits}f}" for key in ("lowest", "highest"))
    return f"{spread['median']:.{digits}f} [{low}, {high}]"


def _against(found: Mapping[str, Any]) -> str:
    median = found["median"]
    better = "lower" if median > 0 else "higher"
    how = f"{abs(median):.2f} points {better}" if median else "equal"
    return (
        f"{found['strategy']} against {found['rival']}: median regret difference {how}, "
        f"n = {found['n']}, p = {found['p']:.2g} (Wilcoxon signed-rank)"
    )


def built_lines(facts: Mapping[str, Any], folder: Path, words: Sequence[object]) -> list[str]:
    """Return what a build has come to.

    Args:
        facts: Of :func:`peftsearch.bench.listing.facts`, with ``rows`` and ``ceilings``.
        folder: Where the table lies.
        words: What names the table, and the options it needs, in the next command.
    """
    total = facts["architectures"] * facts["seeds"]
    lines = [
        f"Table: {folder}",
        f"  {facts['rows']:,} of {total:,} rows: {facts['architectures']:,} architectures, "
        f"{facts['built']} of {facts['seeds']} seeds complete; {facts['core_hours']:g} core-hours",
    ]
    for budget, best in facts["ceilings"].items():
        lines.append(
            f"  {budget}, {facts['budgets'][budget]:,} parameters: noise ceiling: percentile "
            f"{best['percentile']:.1f}, regret {best['regret']:.2f} points, tau {best['tau']:.2f}"
        )
    next_step = "build" if facts["rows"] < total else "--table"
    return [*lines, "Next: " + paste("peftsearch", "bench", next_step, *words)]


def checked_lines(found: Mapping[str, Any]) -> list[str]:
    """Return how rows of a table came out, last a line for each number that differs.

    Args:
        found: What ``--check --json`` prints.
    """
    trained, rows = found["checked"], found["rows_different"]
    if not rows:
        return [f"{trained} of {trained} rows come out as written."]
    verdict = "rounding, as on other hardware" if found["within_noise"] else "too much for rounding"
    return [
        f"{rows} of {trained} rows of {found['table']} come out otherwise, scores by "
        f"{100 * found['off']:.2f} points; two seeds differ by {100 * found['noise']:.2f} "
        f"(root mean squares): {verdict}.",
        *(
            f"  {d['architecture']} seed {d['seed']}: {d['column']}: "
            f"written {d['written']}, now {d['found']}"
            for d in found["different"]
        ),
    ]
