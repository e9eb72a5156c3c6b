"""A run directory as plain tables.

Place in the flow: the run's files -> **collect** -> tables -> figures, html. Reads JSON, YAML
and JSON lines only: no torch, no GPU, nothing of the run's own code. Works on a run at any
point; what is not there yet is an empty table with the right columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from peftsearch.errors import ConfigError
from peftsearch.report import architectures
from peftsearch.report.architectures import (
    SITE_COLUMNS,
    table,
)
from peftsearch.report.facts import Facts, facts
from peftsearch.report.outcome import (
    EXPORT_COLUMNS,
    PROBLEM_COLUMNS,
    SCORE_COLUMNS,
    STAGES,
    VALUE_COLUMNS,
    exports,
    scores,
    stages,
)
from peftsearch.report.patterns import Chance, by_chance, patterns
from peftsearch.report.read import Reader
from peftsearch.report.searches import number
from peftsearch.site import split_id

CANDIDATE_COLUMNS = ("gate", *SITE_COLUMNS, "method", "size", "num_params", "modules")
STEP_COLUMNS = (
    "step",
    "steps",
    "phase",
    "train_loss",
    "valid_loss",
    "price",
    "expected_cost",
    "limit",
    "temperature",
    "exploration",
    "entropy",
)
MEASURED_COLUMNS = ("num_params", "score", "loss")
RACE_COLUMNS = ("name", "source", "num_params", "steps", "score", "summary")
ALERT_COLUMNS = ("code", "text")


#: Files of which at least one makes a directory a run.
_KNOWN = ("config.yaml", "manifest.json", "sites.json", "architecture.json", "summary.json")


@dataclass(frozen=True)
class RunData:
    """Everything the report draws from.

    Attributes:
        path: The run directory.
        facts: Single values.
        config: The resolved configuration, nested.
        manifest: Versions, hardware, data, seeds.
        sites: One row per site of the backbone.
        candidates: One row per candidate of each gate, in the order of ``space.json``.
        choices: One row per choice of the found architecture, ``none`` included.
        searches: The choices of every search seed, with the column search; of the found
            architecture where the run has one search seed.
        trained: The choices of every contestant and baseline, with the column name, e.g.
            ``race/gates-1`` or ``baselines/uniform-lora``.
        worth: The search's value of each row of ``candidates``; empty where it has none.
        prices: Price at the end of each search that notes it, in nats per parameter.
        certainty: For each site, the share of the supernet's plausible values that agree with
            the method chosen there; empty where the strategy cannot say.
        alphas: Index: step; one column per row of ``candidates``; priced probabilities.
        steps: One row per logged step of the search.
        measured: Architectures scored with the supernet's weights.
        race: Contestants of the race, with their score on the selection split.
        scores: Found and baselines: mean, sd, n, num_params.
        values: One row per retraining: name, number of the seed, score.
        stages: One row per stage: status, seconds, steps, peak bytes.
        exports: One row per export target.
        problems: One row per site that a target cannot express.
        alerts: Alerts of the summary.
        loading: Lines that load an export, by target, where the exporter wrote them.
        notes: Files that are there but could not be used.
    """

    path: Path
    facts: Facts
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    sites: pd.DataFrame
    candidates: pd.DataFrame
    choices: pd.DataFrame
    searches: pd.DataFrame
    trained: pd.DataFrame
    worth: pd.Series
    prices: tuple[float, ...]
    certainty: pd.DataFrame
    alphas: pd.DataFrame
    steps: pd.DataFrame
    measured: pd.DataFrame
    race: pd.DataFrame
    scores: pd.DataFrame
    values: pd.DataFrame
    stages: pd.DataFrame
    exports: pd.DataFrame
    problems: pd.DataFrame
    alerts: pd.DataFrame
    loading: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def unfinished(self) -> list[str]:
        """Stages that have not ended, in order; the report itself is not counted."""
        stages = self.stages[self.stages["stage"] != "report"]
        return list(stages.loc[stages["status"] != "done", "stage"])

    @cached_property
    def compared(self) -> Chance | None:
        """What searches that know nothing find; ``None`` with one search seed."""
        if number(self.searches) < 2 or self.candidates.empty or not self.facts.limit:
            return None
        return by_chance(self.candidates, self.sites, self.facts.limit)

    @cached_property
    def patterns(self) -> pd.DataFrame:
        """Everything asked of the architectures (:func:`peftsearch.report.patterns.patterns`)."""
        return patterns(self.searches, self.candidates, self.sites, self.compared, self.prices)


def collect(run_dir: Path) -> RunData:
    """Read a run directory.

    Args:
        run_dir: The directory; any of its files may be missing.

    Raises:
        ConfigError: There is no such directory, or it holds none of a run's files.
    """
    if not any((run_dir / name).is_file() for name in _KNOWN):
        hint = f"A run directory holds {', '.join(_KNOWN)}."
        raise ConfigError(f"{run_dir} is not a run directory.", hint)
    reader = Reader(run_dir)
    files = {Path(n).stem: reader.json(n) for n in (*_KNOWN[1:], "space.json")}
    summary = files["summary"]
    race_file, measured = reader.json("race.json"), reader.json("search/measured.json")
    config = reader.yaml("config.yaml")
    candidates = _candidates(reader, files["space"])
    score_table, value_table = reader.build(
        "summary.json",
        lambda: scores(reader, summary),
        (table((), SCORE_COLUMNS), table((), VALUE_COLUMNS)),
    )
    export_table, problem_table, loading = reader.build(
        "export",
        lambda: exports(reader, summary),
        (table((), EXPORT_COLUMNS), table((), PROBLEM_COLUMNS), dict[str, str]()),
    )
    choices = architectures.choices(reader, "architecture.json", files["architecture"])
    searches, prices = architectures.searches(reader, choices, config.get("seed"), measured)
    steps = _steps(reader)
    single = reader.build(
        "summary.json", lambda: facts(reader, config, files, {**measured, **race_file}), Facts()
    )
    return RunData(
        path=run_dir,
        facts=_with_limit(single, steps),
        config=config,
        manifest=files["manifest"],
        sites=reader.build("sites.json", lambda: _sites(files), table((), SITE_COLUMNS)),
        candidates=candidates,
        choices=choices,
        searches=searches,
        trained=architectures.trained(reader),
        worth=architectures.worth(reader, measured, candidates),
        prices=prices,
        certainty=architectures.certainty(reader, race_file),
        alphas=_alphas(reader, len(candidates)),
        steps=steps,
        measured=table(measured.get("samples", ()), MEASURED_COLUMNS),
        race=table(race_file.get("contestants", ()), RACE_COLUMNS),
        scores=score_table,
        values=value_table,
        stages=_stages(reader, files["manifest"], summary),
        exports=export_table,
        problems=problem_table,
        alerts=table(summary.get("alerts", ()), ALERT_COLUMNS),
        loading=loading,
        notes=tuple(reader.notes),
    )


def _stages(
    reader: Reader, manifest: Mapping[str, Any], summary: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the table of stages; all unknown in a run whose manifest cannot be read."""
    nothing = float("nan")
    unknown = pd.DataFrame({"stage": STAGES, "status": "unknown"})
    unknown = unknown.assign(seconds=nothing, steps=nothing, peak_bytes=nothing)
    return reader.build("manifest.json", lambda: stages(manifest, summary), unknown)


def _with_limit(single: Facts, steps: pd.DataFrame) -> Facts:
    """Take the limit from the search's own log while no file states it yet."""
    limits = steps["limit"].dropna()
    if single.limit is not None or limits.empty:
        return single
    return replace(single, limit=int(limits.iloc[-1]))


def _sites(files: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Sites of the backbone; those of the architecture where ``sites.json`` is missing."""
    listed = files["sites"].get("sites") or []
    if not listed:
        ids = dict.fromkeys(c["site"] for c in files["architecture"].get("choices", ()))
        listed = [dict(zip(SITE_COLUMNS, (i, *split_id(i)), strict=True)) for i in ids]
    rows = [{**row, "site": row.get("id", row.get("site"))} for row in listed]
    return table(rows, SITE_COLUMNS)


def _candidates(reader: Reader, space: Mapping[str, Any]) -> pd.DataFrame:
    """Candidates of every gate; empty where the space cannot be read."""
    nothing = table((), CANDIDATE_COLUMNS)
    return reader.build("space.json", lambda: _read_candidates(space), nothing)


def _read_candidates(space: Mapping[str, Any]) -> pd.DataFrame:
    keys = ("site", "stack", "layer", "part")
    rows = [
        {
            "gate": index,
            **{k: gate[k] for k in keys},
            **candidate,
            "modules": ", ".join(map(str, candidate.get("modules", ()))),
        }
        for index, gate in enumerate(space.get("gates", ()))
        for candidate in gate["candidates"]
    ]
    return table(rows, CANDIDATE_COLUMNS)


def _alphas(reader: Reader, width: int) -> pd.DataFrame:
    """Probabilities by step; lines that do not fit the space are left out and noted."""
    name = "search/alphas.jsonl"
    kept: dict[int, list[float]] = {}
    lines = reader.lines(name)
    for line in lines:
        gates = line.get("probabilities")
        flat = [p for gate in gates for p in gate] if isinstance(gates, list) else []
        if isinstance(line.get("step"), int) and len(flat) == width:
            kept[line["step"]] = flat
    bad = sum(not isinstance(line.get("step"), int) for line in lines)
    if width and lines and not kept:
        bad = len(lines)
    if bad:
        reader.notes.append(f"{name}: {bad} lines do not fit space.json and were left out.")
    frame = pd.DataFrame.from_dict(kept, orient="index", columns=range(width), dtype=float)
    return frame.rename_axis("step").sort_index()


def _steps(reader: Reader) -> pd.DataFrame:
    """Logged search steps; a step logged again after a resume counts once, the last time."""
    events = reader.lines("events.jsonl")
    rows = [e for e in events if e.get("stage") == "search" and e.get("event") == "step"]
    rows = [e for e in rows if not e.get("search")]  # the first search stands for the others
    steps = table(rows, STEP_COLUMNS)
    for column in STEP_COLUMNS:
        if column != "phase":
            steps[column] = pd.to_numeric(steps[column], errors="coerce")
    steps = steps.dropna(subset=["step"]).drop_duplicates("step", keep="last")
    return steps.sort_values("step", ignore_index=True)
