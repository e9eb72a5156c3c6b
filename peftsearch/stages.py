"""The stages of a run, each a function of the workspace that reads and writes files.

Each reads the files of the stages before it, so each can run alone on a run directory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from peftsearch import baselines as plain
from peftsearch import checkpoint, given
from peftsearch.architecture import Architecture
from peftsearch.config import RunConfig
from peftsearch.errors import ConfigError, DivergedError, paste
from peftsearch.export import writing
from peftsearch.export.base import Bundle, forward_arguments, logits_of, untrained
from peftsearch.export.sample import sample_inputs
from peftsearch.injection import insert_architecture, load_state, remove_all
from peftsearch.metering import flops, latency
from peftsearch.race import RealTrials, race_json
from peftsearch.retrain import ADAPTER, HEAD, retrain
from peftsearch.rundir import RunDir, copy_file, read_json, write_json, write_text
from peftsearch.search.loop import CHECKPOINT, TRACE
from peftsearch.seeds import derive
from peftsearch.strategies.base import strategy
from peftsearch.summary import DIVERGED
from peftsearch.workspace import FROZEN, Workspace, given_baselines, head_for


def prepare(work: Workspace) -> int:
    """Write sites and space, and tokenise every row, so that a bad one is found now.

    Architectures that others bring as baselines are kept in the run.
    """
    backbone, run = work.backbone, work.session.run
    given = given_baselines(work.config, backbone.sites, work.cost, work.budget.limit, work.limits)
    for name, choices in given.items():
        work.architecture(choices).save(run.file("baselines", name, "architecture.json"))
    if work.kept.sites:
        _keep(work)
    run.write_json(
        "sites.json",
        {
            "format": 1,
            "family": backbone.family,
            "backbone_parameters": backbone.num_parameters,
            "head_parameters": backbone.num_head_parameters,
            "max_cost": work.full_space.max_cost + work.kept.num_params,
            "sites": [site.to_json() for site in backbone.sites],
        },
    )
    if backbone.notice:
        work.session.events.emit("prepare", "inspected", text=backbone.notice)
    if backbone.description is not None:
        write_text(run.file("backbone.yaml"), backbone.description.to_yaml())
    for removed in work.full_space.removed:
        work.session.events.emit("prepare", "narrowed", text=str(removed))
    run.write_json("space.json", work.space.to_json())
    work.features.tokenise()
    for text in work.notices:
        work.session.events.emit("prepare", "note", text=text)
    return 0


def _keep(work: Workspace) -> None:
    """Write ``frozen.json``: what the search does not decide.

    Raises:
        ExportError: A target of ``exportable_to`` cannot hold it.
    """
    kept = work.architecture(work.kept.choices)
    for target in work.not_exportable_to(kept) if work.kept.choices else ():
        raise writing.refusal(target, writing.problems(target, kept, work.backbone))
    kept.save(work.session.run.file(FROZEN))


def search(work: Workspace) -> int:
    """Train what the strategy shares between architectures; nothing where one is given."""
    if work.config.architecture is not None:
        return 0
    if work.config.search.shared is not None:
        return _take(work, Path(work.config.search.shared))
    return strategy(work.config.strategy).search(work)


def _take(work: Workspace, other: Path) -> int:
    """Take the search of another run on the same space.

    Raises:
        ConfigError: It has none, or another space.
    """
    run = work.session.run
    searched = RunDir.open_existing(other, lock=False)
    if not searched.manifest().is_done("search"):
        raise ConfigError(f"{other} has not been searched.", paste("peftsearch", "search", other))
    known = {(gate.site, candidate) for gate, candidate in work.full_space.choices()}
    if not known >= {(gate.site, candidate) for gate, candidate in work.space.choices()}:
        message = f"{other} was searched on another space, or another model, than this run has."
        raise ConfigError(message, "Leave out search.shared.")
    for path in other.glob("search/**/*"):
        if path.name in (CHECKPOINT, TRACE):
            copy_file(path, run.file(str(path.relative_to(other))))
    return 0


def discretise(work: Workspace) -> int:
    """Let the strategy decide, and write the winner."""
    run = work.session.run
    trials = RealTrials(work)
    if work.config.architecture is not None:
        verdict = given.choose(work)
    else:
        verdict = strategy(work.config.strategy).choose(work, trials)
    result = race_json(work, verdict.standings, trials)
    if verdict.certainty is not None:
        pairs = zip(work.space.gates, verdict.certainty, strict=True)
        result["certainty"] = [{"site": g.site.id, "share": round(s, 4)} for g, s in pairs]
    run.write_json("race.json", result)
    write_limits(work, verdict.winner.architecture)
    verdict.winner.architecture.save(run.file("architecture.json"))
    trials.tidy()
    return sum(row["steps"] for row in result["contestants"])


def write_limits(work: Workspace, architecture: Architecture) -> None:
    """Write ``limits.json``: what the found architecture spends of all that is counted.

    Of the file, what it became, once it is there; of the time, also what is measured.
    """
    limits, active = work.limits, architecture.active
    adapter = work.session.run.file("retrain", "seed-0", ADAPTER)
    real = {"bytes": adapter.stat().st_size} if adapter.is_file() else {}
    measured = {}
    if any(resource.name == latency.NAME for resource in limits.resources):
        _, (share,) = latency.timed(work.backbone, [active], work.forward)
        measured[latency.NAME] = share
    found = {"format": 1, "limits": limits.to_json(active, real, measured)}
    for counted in limits.resources:
        if counted.name == flops.NAME:
            reference = flops.lora_everywhere(work.backbone.sites)
            found["training_flops"] = {
                "found": limits.used(counted, active),
                "backward_of_backbone": flops.backward(counted, active, limits.sites),
                "lora_everywhere": limits.used(counted, reference),
            }
    work.session.run.write_json("limits.json", found)


def retrain_found(work: Workspace) -> int:
    """Retrain the found architecture over all seeds."""
    run = work.session.run
    architecture = found_architecture(work)
    folder = run.file("retrain")
    result = retrain(work, architecture, "found", "retrain", folder)
    write_json(folder / "metrics.json", {"format": 1, "name": "found", **result})
    write_limits(work, architecture)
    return work.config.retrain.steps * work.config.seeds


def found_architecture(work: Workspace) -> Architecture:
    """Read ``architecture.json``.

    Raises:
        ConfigError: Nothing has been discretised yet.
    """
    path = work.session.run.file("architecture.json")
    if not path.is_file():
        raise ConfigError(
            f"{path.parent} has no architecture yet.",
            paste("peftsearch", "discretise", path.parent),
        )
    return Architecture.load(path)


def run_baselines(work: Workspace) -> int:
    """Retrain every baseline at the same budget; one equal to the found one is not run twice."""
    run, config = work.session.run, work.config
    limit = work.budget.limit
    named = plain.uniform_baselines(work.backbone.sites, work.cost, limit, work.limits.beside())
    for i in range(config.retrain.random_baselines):
        filled = plain.random_fill(work.space, work.free, derive(config.seed, "random", i))
        named[f"random-{i + 1}"] = work.assigned(filled).active
    for path in sorted(run.path.glob("baselines/given-*/architecture.json")):
        named[path.parent.name] = Architecture.load(path).active
    found = run.read_json("architecture.json")["choices"] if _done(work, "retrain") else None
    trained = 0
    for name, choices in named.items():
        architecture = work.architecture(choices)
        folder = run.file("baselines", name)
        architecture.save(folder / "architecture.json")
        refused = work.not_exportable_to(architecture)
        marked = {"not_exportable_to": refused} if refused else {}
        if architecture.to_json()["choices"] == found:
            result = read_json(run.file("retrain", "metrics.json"))
            result.pop("name")
        else:
            trained += 1
            try:
                result = retrain(work, architecture, name, "baselines", folder)
            except DivergedError as error:  # the others still say something; an alert names it
                write_json(folder / DIVERGED, {"format": 1, "name": name, "message": str(error)})
                continue
        (folder / DIVERGED).unlink(missing_ok=True)
        write_json(folder / "metrics.json", {"format": 1, "name": name, **result, **marked})
    return config.retrain.steps * config.seeds * trained


def _done(work: Workspace, stage: str) -> bool:
    return work.session.run.file(stage, "metrics.json").is_file()


def export(work: Workspace) -> int:
    """Export to every configured target that can hold the architecture, and verify."""
    run = work.session.run
    for target in work.config.export.targets:
        record = run.file("export", f"{target}.json")
        found = writing.problems(target, found_architecture(work), work.backbone)
        if found:
            refused = [problem.to_json() for problem in found]
            facts = {"format": 1, "target": target, "verified": False, "problems": refused}
            write_json(record, facts)
            continue
        record.unlink(missing_ok=True)  # of an earlier architecture
        export_to(work, target, run.file("export", target))
    return 0


def export_to(
    work: Workspace,
    target: str,
    folder: Path,
    python: Path | None = None,
    load_from: Path | None = None,
) -> dict[str, Any]:
    """Write one export of the first seed's weights and verify it by loading it back.

    The first seed, not the best: the test split must not choose.

    Args:
        work: The run.
        target: Name of the exporter.
        folder: Where to write.
        python: Interpreter in which the target can be imported, where this one cannot.
        load_from: Folder that the lines in ``check.json`` load, where that is not ``folder``.

    Raises:
        ExportError: The target cannot hold the architecture, or does not reproduce it.
    """
    architecture = found_architecture(work)
    found = writing.problems(target, architecture, work.backbone)
    if found:
        raise writing.refusal(target, found)
    writing.check_place(folder)
    bundle = replace(make_bundle(work, architecture), python=python)
    return writing.export(bundle, target, folder, load_from)


def export_untrained(
    path: Path,
    target: str,
    folder: Path,
    labels: int | None = None,
    python: Path | None = None,
    load_from: Path | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Export an architecture with fresh weights, for a training elsewhere; no run is needed.

    Args:
        path: An ``architecture.json``; its model is loaded.
        target: Name of the exporter.
        folder: Where to write.
        labels: Labels of a classification head; by default those of the architecture's task.
        python: Interpreter in which the target can be imported, where this one cannot.
        load_from: Folder that the lines in ``check.json`` load, where that is not ``folder``.
        description: A backbone description in YAML, where the sites are not to be found otherwise.

    Raises:
        ConfigError: The file is no architecture, or its task is not registered here.
        ExportError: The target cannot hold the architecture.
    """
    from peftsearch import tasks
    from peftsearch.backbones.loading import load_backbone

    architecture = Architecture.load(path)
    writing.check_place(folder)
    head = "sequence"
    if labels is None:
        try:
            task = tasks.get(architecture.task)
        except ConfigError as error:
            raise ConfigError(error.message, "Say how many labels there are: --labels N") from error
        labels, head = head_for(task, architecture.model, task.format)
    backbone = load_backbone(architecture.model, labels, head=head, description=description)
    found = writing.problems(target, architecture, backbone)
    if found:
        raise writing.refusal(target, found)
    inputs = sample_inputs(backbone.model)
    assert inputs is not None  # a model of any other kind is not loaded
    bundle = untrained(architecture, backbone, inputs)
    return writing.export(replace(bundle, python=python), target, folder, load_from)


def make_bundle(work: Workspace, architecture: Architecture) -> Bundle:
    """Put the first seed's weights on the backbone, note its logits, and take them off."""
    from safetensors.torch import load_file

    from peftsearch.backbones.base import head_parameters

    folder = work.session.run.file("retrain", "seed-0")
    if not (folder / "metrics.json").is_file():
        path = work.session.run.path
        raise ConfigError(
            f"{path} has no retrained weights yet.", paste("peftsearch", "retrain", path)
        )
    weights = load_file(folder / ADAPTER) if (folder / ADAPTER).is_file() else {}
    head = load_file(folder / HEAD) if (folder / HEAD).is_file() else {}
    batch = work.format.collate(work.features.selection[:8])
    inputs = forward_arguments(work.backbone.model, batch)
    backbone = work.as_stored  # rounding would blur the comparison
    model = backbone.model
    insertions = insert_architecture(backbone.hosts, architecture)
    try:
        load_state(insertions, weights)
        checkpoint.restore_weights(dict(head_parameters(model)), head)
        logits = logits_of(model, inputs)
    finally:
        remove_all(insertions)
    rounded = _rounded(work.config)
    return Bundle(architecture, weights, head, backbone, inputs, logits, rounded=rounded)


def _rounded(config: RunConfig) -> str:
    """Say how the frozen weights were kept in training, if not as they are stored."""
    parts = ["in bfloat16"] if config.precision == "bf16" else []
    parts += [] if config.load_in is None else [f"with linear maps in {config.load_in}"]
    return " and ".join(parts)


#: Function of each stage that computes, by name; ``report`` needs no workspace.
COMPUTE: dict[str, Callable[[Workspace], int]] = {
    "prepare": prepare,
    "search": search,
    "discretise": discretise,
    "retrain": retrain_found,
    "baselines": run_baselines,
    "export": export,
}
