"""Commands that only look: ``list``, ``show``, ``validate``, ``env``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from peftsearch import config as configuration
from peftsearch import environment
from peftsearch.cli import options as o
from peftsearch.cli import publishing
from peftsearch.cli.checking import Checked, check_architecture, kind_of, validate
from peftsearch.cli.rendering import (
    architecture_lines,
    run_lines,
    score_lines,
    size,
    size_of_machine,
    space_lines,
    table,
)
from peftsearch.cli.session import session
from peftsearch.config.values import require_known
from peftsearch.errors import ConfigError, paste
from peftsearch.rundir import RunDir, read_json

KINDS = ("models", "tasks", "methods", "spaces", "exporters", "strategies", "tables")

Kind = Annotated[
    str,
    typer.Argument(
        metavar="|".join(KINDS),
        help="What to list.",
        show_default=False,
        autocompletion=lambda incomplete: [k for k in KINDS if k.startswith(incomplete)],
    ),
]
Shown = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A run directory, an architecture.json or a search space YAML.",
        show_default=False,
    ),
]
Files = Annotated[
    list[Path], typer.Argument(metavar="FILE...", help="Files to check.", show_default=False)
]


def list_names(kind: Kind, as_json: o.Json = False, debug: o.Debug = False) -> None:
    """List what may be named in options and files."""
    with session(as_json=as_json, debug=debug) as current:
        require_known(kind, KINDS, "list")
        entries = _entries(kind)
        rows = [[_cell(value) for value in entry.values()] for entry in entries]
        heads = [list(entries[0])] if entries else []
        current.console.result(table(heads + rows), data={kind: entries})


def _entries(kind: str) -> list[dict[str, Any]]:
    from peftsearch import catalogue, tasks

    if kind == "tasks":
        return [
            {"name": t.name, "metric": t.metrics[0], "description": t.description}
            for t in tasks.all_tasks().values()
        ]
    if kind == "methods":
        return [
            {
                "name": facts.name,
                "sizes": "yes" if facts.sized else "no",
                "learning_rate": facts.learning_rate,
                "sites": ", ".join(facts.modules),
                "description": facts.title,
            }
            for facts in catalogue.method_facts().values()
        ]
    if kind == "spaces":
        return [
            {"name": name, "description": _space_description(path)}
            for name, path in catalogue.spaces().items()
        ]
    if kind == "strategies":
        return [
            {"name": card.name, "description": card.title}
            for card in catalogue.strategies().values()
        ]
    if kind == "tables":
        from peftsearch.bench.listing import listed

        return listed()
    if kind == "exporters":
        return [
            {"name": card.name, "description": card.title}
            for card in catalogue.exporters().values()
        ] + [{"name": publishing.HUB, "description": publishing.TITLE}]
    return [{"name": name, "description": text} for name, text in catalogue.models().items()]


def _cell(value: Any) -> str:
    """Return a value as one cell: ``?`` for what is not known."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:,}" for name, number in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "nothing"
    return "?" if value is None else str(value)


def _space_description(path: Path) -> str:
    data = configuration.read_yaml(path)
    text = data.get("description", "") if isinstance(data, dict) else ""
    return " ".join(str(text).split())


def show(path: Shown, as_json: o.Json = False, debug: o.Debug = False) -> None:
    """Show a run, an architecture or a search space."""
    with session(as_json=as_json, debug=debug) as current:
        lines, data = _show_run(path) if path.is_dir() else _show_file(path)
        current.console.result(lines, data=data)


def _show_run(path: Path) -> tuple[list[str], dict[str, Any]]:
    run = RunDir.open_existing(path, lock=False)
    config, stages = run.config(), run.manifest().data["stages"]
    lines = run_lines(path, config, stages)
    data = {"kind": "run", "config": configuration.to_mapping(config), "stages": stages}
    if run.file("summary.json").exists():
        data["summary"] = read_json(run.file("summary.json"))
        lines += score_lines(data["summary"])
    return lines, data


def _show_file(path: Path) -> tuple[list[str], dict[str, Any]]:
    from peftsearch.catalogue import method_facts
    from peftsearch.space_spec import parse_space

    data = read_json(path) if path.suffix == ".json" else configuration.read_yaml(path)
    kind = kind_of(data)
    if kind == "architecture":
        return architecture_lines(check_architecture(data, str(path))), {"kind": kind, **data}
    if kind == "search space":
        spec = parse_space(data, method_facts(), str(path))
        return space_lines(spec, method_facts()), {"kind": kind, **data}
    raise ConfigError(
        f"{path} is neither a run directory, nor an architecture, nor a search space.",
        "Check it with: " + paste("peftsearch", "validate", path),
    )


def validate_files(files: Files, as_json: o.Json = False, debug: o.Debug = False) -> None:
    """Check files and name every problem.

    Ends in exit code 2 if there is one. The kind of a file is recognised by its keys. Every
    kind: it can be read, as YAML, or as JSON when it ends in .json.

    Configuration: keys are known at every depth; types and ranges; budget, precision, device,
    preset; names of task, space, methods and export targets.

    Search space: keys are known; combine; parts; methods; sizes rise without repeats, and
    are given where a method has them; layers.

    Task: keys are known; kind, columns, labels, label words, template and metrics agree.

    Architecture: format; keys; site names; methods; parameters add up and keep the limit; no
    module has a method twice.

    Backbone description: keys are known; every part says where its maps are, each of them in a
    place of its own. Whether they are there is seen when it is used with a model.
    """
    with session(as_json=as_json, debug=debug) as current:
        checked = [validate(path) for path in files]
        problems = [problem for one in checked for problem in one.problems]
        lines = [f"{one.path}: valid {one.kind}" for one in checked if not one.problems]
        if lines or as_json:
            current.console.result(lines, data={"files": [_as_data(one) for one in checked]})
        if problems:
            raise ConfigError.collected(problems)


def _as_data(one: Checked) -> dict[str, Any]:
    problems = [f"{problem.message} {problem.hint}".strip() for problem in one.problems]
    kind = one.kind or None
    return {"file": str(one.path), "kind": kind, "valid": not problems, "problems": problems}


def env(as_json: o.Json = False, debug: o.Debug = False) -> None:
    """Show versions and devices, for a bug report; no tokens."""
    with session(as_json=as_json, debug=debug) as current:
        versions, hub = environment.versions(), environment.hub()
        hardware = environment.hardware()
        rows = [[name, version] for name, version in versions.items()]
        rows.append(["system", f"{hardware['system']} {hardware['machine']}"])
        rows.append(["machine", size_of_machine(hardware)])
        for device in hardware["accelerators"]:
            memory = f", {size(device['memory_bytes'])}" if device["memory_bytes"] else ""
            rows.append([device["device"], device["name"] + memory])
        rows += [["hub", hub["endpoint"]], ["hub cache", hub["home"]]]
        rows.append(["offline", "yes" if hub["offline"] else "no"])
        data = {"versions": versions, "hardware": hardware, "hub": hub}
        current.console.result(table(rows), data=data)
