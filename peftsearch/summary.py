"""``summary.json``: the answer of a run in numbers, its first line, and its alerts. Torch-free.

Place in the flow: reads the files of all stages; read by report and console.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from peftsearch import shown
from peftsearch.architecture import Architecture
from peftsearch.baselines import UNIFORM
from peftsearch.rundir import JsonLines, read_json

#: What a baseline leaves in its folder instead of ``metrics.json`` when it diverges.
DIVERGED = "diverged.json"
#: What is said of a contestant of the race.
_CONTESTANT = ("name", "source", "num_params", "steps", "score")
#: Standard errors of a difference below which it counts as noise.
_NOISE = 2.0
#: How far above chance the best measured architecture must be for the supernet to have learned.
_LEARNED = 0.02
#: Share of the plausible values that must agree with the choice at a gate.
_CERTAIN = 0.5
#: Probability on (nearly) free candidates from which a search has collapsed.
_COLLAPSED = 0.9


def summarise(run: Path) -> dict[str, Any]:
    """Return the content of ``summary.json`` for a finished run."""
    config, manifest = _config(run), read_json(run / "manifest.json")
    sites, race = read_json(run / "sites.json"), read_json(run / "race.json")
    architecture = Architecture.load(run / "architecture.json")
    found = _entry(run / "retrain" / "metrics.json")
    baselines = {
        path.parent.name: _entry(path) for path in sorted(run.glob("baselines/*/metrics.json"))
    }
    facts = _Facts(run, architecture, found, baselines, sites, race)
    return {
        "format": 1,
        "model": architecture.model,
        "task": architecture.task,
        "metric": race["metric"],
        "higher_is_better": True,
        "headline": facts.headline(),
        "budget": {
            "requested": architecture.requested,
            "limit": architecture.limit,
            "used": architecture.num_params,
            "denominator": architecture.backbone_parameters,
            "head": sites["head_parameters"],
        },
        **_limits(run),
        "found": found,
        "baselines": baselines,
        "strategy": config["strategy"],
        "race": {
            "winner": race["winner"],
            "contestants": [{key: row[key] for key in _CONTESTANT} for row in race["contestants"]],
            "trainings": race["trainings"],
            "limit": config["trainings"],
        },
        "cost": _cost(run, manifest),
        **_micro_batch(run),
        "exports": _exports(run),
        "alerts": facts.alerts(),
        "search_seed": config["seed"],
    }


def _config(run: Path) -> dict[str, Any]:
    from peftsearch.config import read_yaml

    config: dict[str, Any] = read_yaml(run / "config.yaml")
    return config


def _entry(path: Path) -> dict[str, Any]:
    data = read_json(path)
    entry = {key: data[key] for key in ("mean", "sd", "n", "values", "num_params")}
    marked = data.get("not_exportable_to")
    return {**entry, "not_exportable_to": marked} if marked else entry


def _limits(run: Path) -> dict[str, Any]:
    """Return what is limited and counted beside the parameters."""
    path = run / "limits.json"
    found = read_json(path) if path.is_file() else {}
    return {key: found[key] for key in ("limits", "training_flops") if key in found}


def _micro_batch(run: Path) -> dict[str, Any]:
    """Return the rows at once that were left when memory had run out; nothing if it never did."""
    path = run / "micro_batch.json"
    found = read_json(path) if path.is_file() else {}
    rows = {key: found[key] for key in ("train", "score") if key in found}
    return {"micro_batch": rows} if rows else {}


def _cost(run: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """Return seconds, steps and peak memory per stage, and the search in single trainings."""
    stages = manifest["stages"]
    runs = [read_json(path)["seconds"] for path in sorted(run.glob("retrain/seed-*/metrics.json"))]
    single = sum(runs) / len(runs) if runs else math.nan
    spent = stages["search"]["seconds"] + stages["discretise"]["seconds"]
    return {
        "seconds": {name: round(entry["seconds"], 3) for name, entry in stages.items()},
        "steps": {name: entry["steps"] for name, entry in stages.items()},
        "peak_bytes": {name: entry["peak_bytes"] for name, entry in stages.items()},
        "single_training_seconds": round(single, 3),
        "single_trainings": round(spent / single, 2) if single > 0 else None,
    }


def _exports(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted([*run.glob("export/*/check.json"), *run.glob("export/*.json")]):
        data = read_json(path)
        keys = ("verified", "max_logit_difference", "problems")
        found[data["target"]] = {key: data[key] for key in keys if key in data}
    return found


class _Facts:
    """Everything headline and alerts are derived from."""

    def __init__(
        self,
        run: Path,
        architecture: Architecture,
        found: dict[str, Any],
        baselines: dict[str, Any],
        sites: dict[str, Any],
        race: dict[str, Any],
    ) -> None:
        self.run, self.architecture, self.found = run, architecture, found
        self.baselines, self.sites, self.race = baselines, sites, race

    def best(self) -> tuple[str, dict[str, Any]] | None:
        """Return name and score of the best baseline."""
        return max(self.baselines.items(), key=lambda b: b[1]["mean"], default=None)

    def baseline_won(self) -> bool:
        """Whether a baseline has the better mean."""
        best = self.best()
        return best is not None and bool(best[1]["mean"] > self.found["mean"])

    def headline(self) -> str:
        """Return one sentence that compares the found architecture with the best baseline."""
        used = f"{self.architecture.num_params:,} of {self.architecture.limit:,} parameters"
        mine = f"{self._scores(self.found)} with {used}"
        best = self.best()
        if best is None:
            diverged = any(self.run.glob(f"baselines/*/{DIVERGED}"))
            why = "every baseline diverged" if diverged else "no baseline fits the budget"
            return f"Found: {mine}; {why}."
        name, theirs = best[0], self._scores(best[1])
        if self.baseline_won():
            return f"A baseline won: {name} {theirs}; the found architecture has {mine}."
        same = self.architecture.to_json()["choices"] == self._choices(name)
        if same and not name.startswith("given-"):
            return f"The uniform architecture {name} won the race: {mine}."
        return f"Found: {mine}; best baseline {name} {theirs}."

    def _scores(self, entry: Mapping[str, Any]) -> str:
        return shown.entry(entry, self.race["metric"])

    def _choices(self, name: str) -> Any:
        return read_json(self.run / "baselines" / name / "architecture.json")["choices"]

    def alerts(self) -> list[dict[str, str]]:
        """Return what a reader must know before believing the result."""
        checks = (
            self._baseline_won,
            self._baseline_not_exportable,
            self._within_noise,
            self._budget,
            self._one_seed,
            self._learned,
            self._raced,
            self._collapsed,
            self._uncertain,
            self._seeds_disagree,
            self._simplest,
            self._diverged,
            self._chosen,
            self._uniform,
            self._latency,
            self._left_out,
        )
        found = (check() for check in checks)
        return [{"code": code, "text": text} for code, text in (f for f in found if f)]

    def _baseline_won(self) -> tuple[str, str] | None:
        best = self.best()
        if best is None or not self.baseline_won():
            return None
        return "baseline_won", f"{best[0]} scores higher than the found architecture on test."

    def _baseline_not_exportable(self) -> tuple[str, str] | None:
        best = self.best()
        if best is None or "not_exportable_to" not in best[1]:
            return None
        targets = ", ".join(best[1]["not_exportable_to"])
        able = {name: b for name, b in self.baselines.items() if "not_exportable_to" not in b}
        other = max(able, key=lambda name: able[name]["mean"], default=None)
        best_able = f"{other} with {self._scores(able[other])}" if other else "none"
        return "baseline_not_exportable", (
            f"The search was narrowed to what {targets} can hold; the best baseline {best[0]} was "
            f"not, and cannot be exported there. The best baseline that can: {best_able}."
        )

    def _diverged(self) -> tuple[str, str] | None:
        paths = sorted(self.run.glob(f"baselines/*/{DIVERGED}"))
        if not paths:
            return None
        messages = " ".join(read_json(path)["message"] for path in paths)
        names = ", ".join(path.parent.name for path in paths)
        return "diverged", f"Not compared, since it diverged: {names}. {messages}"

    def _within_noise(self) -> tuple[str, str] | None:
        best = self.best()
        if best is None or self.found["sd"] is None or best[1]["sd"] is None:
            return None
        gap = self.found["mean"] - best[1]["mean"]
        error = math.sqrt(
            self.found["sd"] ** 2 / self.found["n"] + best[1]["sd"] ** 2 / best[1]["n"]
        )
        if gap == 0 or abs(gap) > _NOISE * error:
            return None
        metric = self.race["metric"]
        return "within_noise", (
            f"The difference to {best[0]} ({shown.gap(gap, metric, '+')}) is within two standard "
            f"errors ({shown.gap(2 * error, metric)}, n = {self.found['n']}): it may be chance."
        )

    def _budget(self) -> tuple[str, str] | None:
        largest = self.sites["max_cost"]
        if largest > self.architecture.limit:
            return None
        return "budget_not_binding", (
            f"The largest architecture of the space has {largest:,} parameters and fits the "
            f"budget of {self.architecture.limit:,}: nothing had to be traded. "
            "Try a smaller budget."
        )

    def _one_seed(self) -> tuple[str, str] | None:
        if self.found["n"] > 1:
            return None
        return "one_seed", "One retraining seed only: the spread is not known. Use --seeds 3."

    def _learned(self) -> tuple[str, str] | None:
        path = self.run / "search" / "measured.json"
        if not path.is_file():
            return None
        measured = read_json(path)
        scores = [s["score"] for s in measured["samples"] if s["score"] is not None]
        top = max(scores, default=math.nan)
        if top > measured["chance"] + _LEARNED:
            return None
        score = partial(shown.score, metric=self.race["metric"])
        return "supernet_learned_nothing", (
            f"The best architecture measured on the supernet scores {score(top)}, a constant "
            f"answer {score(measured['chance'])}: the search had little to go by. Give it more "
            "steps."
        )

    def _raced(self) -> tuple[str, str] | None:
        rows = self.race["contestants"]
        told = sum(str(row.get("steps")) not in row.get("losses_of_constant", ()) for row in rows)
        if 2 * told >= len(rows):
            return None
        return "race_learned_nothing", (
            f"{len(rows) - told} of {len(rows)} contestants of the race gave every row the same "
            f"answer when last scored, and only their training loss told them apart. Train longer "
            f"(retrain.steps), or try other learning rates."
        )

    def _collapsed(self) -> tuple[str, str] | None:
        path = self.run / "events.jsonl"
        masses = [r["cheap_mass"] for r in JsonLines(path).read() if "cheap_mass" in r]
        if not masses or masses[-1] < _COLLAPSED:
            return None
        return "gates_collapsed", (
            f"At the end of the search {100 * masses[-1]:.0f} % of the gates' probability lies on "
            f"candidates that cost nothing or nearly nothing: the gates did not spend the budget."
        )

    def _uncertain(self) -> tuple[str, str] | None:
        shares = [row["share"] for row in self.race.get("certainty", ())]
        doubtful = sum(share < _CERTAIN for share in shares)
        if 2 * doubtful <= len(shares):
            return None
        return "architecture_uncertain", (
            f"At {doubtful} of {len(shares)} gates fewer than half of the values that the losses "
            f"of the supernet allow agree with the choice: another seed may well find another one."
        )

    def _seeds_disagree(self) -> tuple[str, str] | None:
        best = self.best()
        if best is None or len(best[1]["values"]) != len(self.found["values"]):
            return None
        pairs = zip(self.found["values"], best[1]["values"], strict=True)
        gaps = [mine - theirs for mine, theirs in pairs]
        if not min(gaps) < 0 < max(gaps):
            return None
        won = sum(gap > 0 for gap in gaps)
        return "seeds_disagree", (
            f"The seeds disagree: the found architecture beats {best[0]} with {won} of "
            f"{len(gaps)} retraining seeds."
        )

    def _simplest(self) -> tuple[str, str] | None:
        rows = self.race["contestants"]
        steps = max((row.get("steps", 0) for row in rows), default=0)
        last = [r for r in rows if r.get("steps") == steps and r.get("score") is not None]
        mine = next((r for r in last if r["name"] == self.race["winner"]), None)
        top = max(last, key=lambda r: r["score"], default=None)
        if mine is None or top is None or top["score"] <= mine["score"]:
            return None
        higher = shown.gap(top["score"] - mine["score"], self.race["metric"])
        return "simplest_returned", (
            f"{top['name']} scored {higher} higher in the race, which is within one standard "
            f"error: the simpler {mine['name']} was taken."
        )

    def _chosen(self) -> tuple[str, str] | None:
        if not self.architecture.active:
            return "nothing_chosen", "The found architecture inserts nothing."
        if len(self.architecture.methods) == 1:
            method = self.architecture.methods[0]
            return "one_method_only", f"The found architecture uses one method only: {method}."
        return None

    def _uniform(self) -> tuple[str, str] | None:
        winner = self.race["winner"]
        if not winner.startswith("uniform"):
            return None
        return "uniform_won_race", (
            f"The race was won by the uniform architecture {winner}: no proposal of the search "
            f"scored higher on the selection split."
        )

    def _latency(self) -> tuple[str, str] | None:
        for row in _limits(self.run).get("limits", ()):
            if row.get("measured", 0.0) > row["limit"]:
                return "latency_above_limit", (
                    f"Measured as a whole, the found architecture takes more time than the sum of "
                    f"its parts: {row['text']}."
                )
        return None

    def _left_out(self) -> tuple[str, str] | None:
        names = {path.parent.name for path in self.run.glob("baselines/*/architecture.json")}
        missing = sorted(set(UNIFORM) - names)
        if not missing or not _limits(self.run).get("limits"):
            return None
        return "baselines_left_out", (
            f"Not compared, since no size of it keeps to all limits: {', '.join(missing)}."
        )
