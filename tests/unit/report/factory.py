"""Synthetic run directories, in the format of the contract, for tests of the report."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .plan import Plan, choices, gates, sites

HOSTILE = '"><script>window.pwned=1</script><img src=x onerror="window.pwned=2">'
RIGHT_TO_LEFT = (
    "\u202e\u05de\u05d5\u05d3\u05dc \u05e2\u05d1\u05e8\u05d9"
    "\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629"
)
LONG = "averylongnamewithoutanyspace" * 12


def write(path: Path, content: Any) -> None:
    """Write JSON or text, making the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def lines(path: Path, rows: Sequence[Any]) -> None:
    """Write JSON lines."""
    write(path, "\n".join(json.dumps(row) for row in rows))


def begin(root: Path, plan: Plan) -> int:
    """Write what a run knows before the search; return the limit."""
    limit = sum(choice["num_params"] for choice in choices(plan)) + 17
    command = ["peftsearch", "run", "--model", plan.model, "--task", plan.task, "--budget", "1%"]
    stages = {
        name: {"status": "pending", "seconds": 0.0, "steps": 0, "peak_bytes": 0}
        for name in ("prepare", "search", "discretise", "retrain", "baselines", "export", "report")
    }
    stages["prepare"] = {"status": "done", "seconds": 0.8, "steps": 0, "peak_bytes": 0}
    stages["search"] = {"status": "running", "seconds": 21.5, "steps": 200, "peak_bytes": 4 * 10**8}
    manifest = {
        "format": 1,
        "created": "2026-01-31T14:02:00+00:00",
        "command": command,
        "versions": {"python": "3.11.2", "torch": "2.13.0", "peftsearch": "0.1.0"},
        "hardware": {"system": "Linux", "cpus": 2, "accelerators": []},
        "data": {"fingerprint": "f" * 64, "rows": {"search_train": 800, "search_valid": 340}},
        "seeds": {"root": 0, "retrain": list(range(plan.seeds))},
        "stages": stages,
    }
    config = {
        "model": plan.model,
        "task": plan.task,
        "budget": "1%",
        "seeds": plan.seeds,
        "search": {"steps": 300, "batch_size": 32, "note": plan.note},
        "export": {"targets": ["native", "peft"]},
    }
    write(root / "manifest.json", manifest)
    write(root / "config.yaml", yaml.safe_dump(config, allow_unicode=True))
    family = "t5" if len(plan.stacks) > 1 else "bert"
    head = 0 if family == "t5" else 1538
    content = {"format": 1, "backbone_parameters": limit * 100, "head_parameters": head}
    write(root / "sites.json", {**content, "family": family, "sites": sites(plan)})
    space = {"format": 1, "name": "default", "description": "Every method. " + plan.note}
    write(root / "space.json", {**space, "combine": plan.combine, "gates": gates(plan)})
    return limit


def search(root: Path, plan: Plan, limit: int, upto: int = 300) -> None:
    """Write the search's logs up to a step."""
    steps, warm = 300, 90
    alphas, events = [], []
    chosen = {(c["site"], c["method"], c.get("size", 0)) for c in choices(plan)}
    for step in range(10, upto + 1, 10):
        sharp = 3.2 * max(0.0, (step - warm) / (steps - warm))
        rows = []
        for gate in gates(plan):
            keys = [(gate["site"], c["method"], c["size"]) for c in gate["candidates"]]
            weights = [math.exp(sharp if key in chosen else 0.0) for key in keys]
            rows.append([w / sum(weights) for w in weights])
        alphas.append({"step": step, "probabilities": rows})
        grown = max(0.0, min(1.0, (step - warm) / 120))
        events.append(
            {
                "time": "2026-01-31T14:02:10+00:00",
                "stage": "search",
                "event": "step",
                "step": step,
                "steps": steps,
                "phase": "warmup" if step <= warm else "search",
                "train_loss": 0.7 * math.exp(-step / 160) + 0.2,
                "valid_loss": None if step <= warm else 0.7 * math.exp(-step / 170) + 0.24,
                "price": 2.4e-6 * grown,
                "expected_cost": limit * (2.1 - 1.08 * grown),
                "limit": limit,
                "temperature": 5 - 4.5 * step / steps,
                "exploration": 0.05,
                "entropy": 1.9 - 1.3 * grown,
            }
        )
    lines(root / "search" / "alphas.jsonl", alphas)
    lines(root / "events.jsonl", events)


def decide(root: Path, plan: Plan, limit: int) -> int:
    """Write measured architectures, the race and the winner; return its parameters."""
    draw = random.Random(5)
    samples = [
        {
            "num_params": int(limit * draw.uniform(0.86, 1)),
            "score": draw.gauss(0.7, 0.03),
            "loss": draw.uniform(0.5, 0.7),
        }
        for _ in range(60)
    ]
    values = [[0.0, *(draw.gauss(0, 1) for _ in gate["candidates"][1:])] for gate in gates(plan)]
    content = {"format": 1, "metric": plan.metric, "samples": samples, "price": 1e-6}
    write(root / "search" / "measured.json", {**content, "values": values})
    used = sum(choice["num_params"] for choice in choices(plan))
    contestants = [
        {"name": n, "source": n.split("-")[0], "num_params": used - i, "steps": 80, "score": s}
        for i, (n, s) in enumerate(
            [
                ("gates", 0.79),
                ("supernet-1", 0.801),
                ("uniform-lora", 0.783 if not plan.note else 0.5),
            ]
        )
    ]
    for contestant in contestants:
        contestant["summary"] = "lora 6 sites, adapter 3 sites " + plan.note
    race = {"format": 1, "metric": plan.metric, "steps": 80, "contestants": contestants}
    named = dict.fromkeys(entry["id"] for entry in sites(plan))
    certainty = [{"site": site, "share": round(draw.random(), 3)} for site in named]
    write(root / "race.json", {**race, "winner": "supernet-1", "certainty": certainty})
    write(root / "architecture.json", architecture(plan, limit, choices(plan)))
    for number, contestant in enumerate(contestants):
        other = choices(plan, seed=3 + number)
        write(root / f"race/{contestant['name']}.json", architecture(plan, limit, other))
        write(root / f"race/{contestant['name']}.result.json", {"scores": {}})
    return used


def architecture(plan: Plan, limit: int, chosen: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of ``architecture.json``."""
    return {
        "format": 1,
        "model": plan.model,
        "task": plan.task,
        "backbone_parameters": limit * 100,
        "budget": {"requested": "1%", "limit": limit},
        "num_params": sum(choice["num_params"] for choice in chosen),
        "choices": chosen,
    }


def _score(mean: float, seeds: int, params: int, salt: str) -> dict[str, Any]:
    draw = random.Random(salt)
    values = [mean + draw.gauss(0, 0.008) for _ in range(seeds)]
    centre = sum(values) / seeds
    sd = math.sqrt(sum((v - centre) ** 2 for v in values) / (seeds - 1)) if seeds > 1 else None
    return {"mean": centre, "sd": sd, "n": seeds, "values": values, "num_params": params}


def finish(root: Path, plan: Plan, limit: int, used: int) -> None:
    """Write the scores, the exports and the summary."""
    found = _score(plan.found, plan.seeds, used, "found")
    baselines = {
        name: _score(mean, plan.seeds, used - 100 * i, name)
        for i, (name, mean) in enumerate(plan.baselines)
    }
    active = [c for c in choices(plan) if c["method"] != "none"]
    problems = [
        {
            "site": c["site"],
            "method": c["method"],
            "reason": f"PEFT has no place for it {plan.note}",
        }
        for c in active
        if c["method"] in {"adapter", "parallel_adapter", "bitfit"}
    ]
    check = {"format": 1, "target": "native", "verified": True, "max_logit_difference": 0.0}
    write(root / "export/native/check.json", {**check, "tolerance": 1e-5, "num_params": used})
    refused = {"format": 1, "target": "peft", "verified": False, "problems": problems}
    write(root / "export/peft.json", refused)
    for index, value in enumerate(found["values"]):
        entry = {"format": 1, "seed": index, "metric": plan.metric, "score": value}
        write(root / f"retrain/seed-{index}/metrics.json", {**entry, "num_params": used})
    for name, entry in baselines.items():
        if "/" not in name and len(name) < 100:
            write(root / f"baselines/{name}/metrics.json", {"format": 1, "name": name, **entry})
    manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
    for index, entry in enumerate(manifest["stages"].values()):
        entry.update(
            status="done", seconds=2.5 + 9 * index, steps=100 * index, peak_bytes=4 * 10**8
        )
    write(root / "manifest.json", manifest)
    summary = {
        "format": 1,
        "model": plan.model,
        "task": plan.task,
        "metric": plan.metric,
        "higher_is_better": True,
        "budget": {
            "requested": "1%",
            "limit": limit,
            "used": used,
            "denominator": limit * 100,
            "head": 0 if len(plan.stacks) > 1 else 1538,
        },
        "found": found,
        "baselines": baselines,
        "headline": "",
        "alerts": [{"code": "within_noise", "text": plan.note}] if plan.note else [],
        "cost": {"single_trainings": 14.2, "single_training_seconds": 4.8},
        "exports": {"native": {"verified": True, "max_logit_difference": 0.0}},
        "search_seed": 0,
    }
    write(root / "summary.json", summary)


def finished(root: Path, plan: Plan | None = None) -> Path:
    """A run that is done."""
    plan = plan or Plan()
    limit = begin(root, plan)
    search(root, plan, limit)
    used = decide(root, plan, limit)
    finish(root, plan, limit, used)
    return root


def unfinished(root: Path) -> Path:
    """A run killed in the search, with the last line of each log cut off."""
    plan = Plan()
    search(root, plan, begin(root, plan), upto=200)
    for name in ("events.jsonl", "search/alphas.jsonl"):
        with (root / name).open("a", encoding="utf-8") as file:
            file.write('{"step": 21')
    return root


def one_seed(root: Path) -> Path:
    """A run with one retraining each."""
    return finished(root, Plan(seeds=1))


def encoder_only(root: Path) -> Path:
    """A run on an encoder of twelve layers, with a head and a correlation as metric."""
    plan = Plan("bert-base-uncased", "stsb", "pearson", stacks=(("encoder", 12),))
    return finished(root, plan)


def many(root: Path) -> Path:
    """A run in which several methods may meet at one site."""
    return finished(root, Plan(combine="many"))


def baseline_won(root: Path) -> Path:
    """A run whose best baseline is better than what was found."""
    return finished(root, Plan(found=0.79))


def several(root: Path) -> Path:
    """A run with five search seeds that all spend on late layers of the decoder."""
    plan = Plan(stacks=(("encoder", 6), ("decoder", 6)))
    finished(root, plan)
    limit = json.loads((root / "architecture.json").read_text(encoding="utf-8"))["budget"]["limit"]
    for seed in range(5):
        chosen = []
        draw = random.Random(seed)
        for gate in gates(plan):
            wanted = gate["stack"] == "decoder" and gate["layer"] > 2 and draw.random() < 0.9
            choice = draw.choice(gate["candidates"][1:]) if wanted else gate["candidates"][0]
            chosen.append({"site": gate["site"], **choice})
        write(root / f"search/seed-{seed}/architecture.json", architecture(plan, limit, chosen))
    return root


def large(root: Path) -> Path:
    """A run of the size of t5-large."""
    return finished(root, Plan("t5-large", "rte", stacks=(("encoder", 24), ("decoder", 24))))


def hostile(root: Path) -> Path:
    """A run whose names and texts hold markup, quotes, right-to-left and very long text."""
    note = f"{HOSTILE} {{{{ 7*7 }}}} ' \" & $x_1$ {RIGHT_TO_LEFT} {LONG}"
    names = (("$\\frac{1}{$", 0.8), (HOSTILE, 0.79), (RIGHT_TO_LEFT, 0.78), (LONG, 0.77))
    plan = Plan(f"org/{HOSTILE}", RIGHT_TO_LEFT + LONG, baselines=names, note=note)
    return finished(root, plan)


ALL = {
    "finished": finished,
    "unfinished": unfinished,
    "one_seed": one_seed,
    "encoder_only": encoder_only,
    "many": many,
    "baseline_won": baseline_won,
    "several": several,
    "large": large,
    "hostile": hostile,
}
