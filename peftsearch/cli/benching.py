"""``bench``: let strategies play on tables; ``bench build``: make a table."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import typer

from peftsearch.bench.conditions import Conditions
from peftsearch.bench.listing import facts
from peftsearch.bench.placing import copied, writable
from peftsearch.bench.spec import BUDGETS, TableSpec, read_spec, tables
from peftsearch.catalogue import strategies
from peftsearch.cli import bench_options as b
from peftsearch.cli import options as o
from peftsearch.cli.bench_lines import bench_lines, built_lines, checked_lines
from peftsearch.cli.looking import list_names
from peftsearch.cli.session import Session, session
from peftsearch.config.schema import PRESETS
from peftsearch.config.values import require_known
from peftsearch.errors import ConfigError, MissingError, PeftSearchError, paste
from peftsearch.progress import Progress

app = typer.Typer(invoke_without_command=True)


@app.callback()
def bench(
    context: typer.Context,
    strategy: b.Strategies = None,
    table: b.Tables = None,
    budget: b.Budgets = None,
    seeds: b.Seeds = 5,
    preset: b.Preset = "quick",
    jobs: b.Jobs = 1,
    model: b.Model = None,
    data: b.Data = None,
    out: b.Out = None,
    override: o.Override = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Let strategies search where every answer is known.

    The search is the real one; only trainings from scratch are looked up in a table that holds
    them all. Writes plays.jsonl, bench.json, bench.csv and a figure. A finished play is not
    played again.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        if context.invoked_subcommand is not None:
            _refuse_options(context)
            return
        who = _strategies(strategy or ["priced"])
        for name in budget or ():
            require_known(name, BUDGETS, "--budget")
        at = [name for name in BUDGETS if not budget or name in budget]
        require_known(preset, PRESETS, "--preset")
        specs = _specs(current, table, model, data)
        conditions = Conditions(preset, tuple(override or ()), model, data)
        from peftsearch.bench import campaign

        wanted = campaign.matches(specs, who, at, seeds, conditions)
        folder = _folder(out)
        current.again = _again(folder)
        result = _played(current, wanted, specs, folder, jobs)
        current.console.result(bench_lines(result, folder), brief=str(folder), data=result)


def _played(
    current: Session, wanted: list[Any], specs: list[TableSpec], folder: Path, jobs: int
) -> dict[str, Any]:
    """Play, summarise and write."""
    from peftsearch.bench import campaign, outcome, writing
    from peftsearch.environment import hardware, versions
    from peftsearch.rundir import RunDir

    folder.mkdir(parents=True, exist_ok=True)
    with RunDir(folder), Progress(current.console) as progress:
        (folder / campaign.PLAYS).touch()
        records = campaign.run(wanted, folder, jobs=jobs, progress=_steps(progress, "bench"))
        result = {
            "format": 1,
            "command": ["peftsearch", *sys.argv[1:]],
            "preset": wanted[0].config.preset,
            "seeds": len({match.seed for match in wanted}),
            "versions": versions(),
            "hardware": hardware(),
            "tables": outcome.tables_json(specs, list(dict.fromkeys(m.budget for m in wanted))),
            "summary": outcome.cells(records),
            "comparisons": outcome.comparisons(records),
            "plays": records,
        }
        writing.write(folder, result)
    return result


def _refuse_options(context: typer.Context) -> None:
    """Refuse options in front of a command of this one: they would do nothing."""
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        if source is not None and source.name == "COMMANDLINE":
            name, after = parameter.opts[0], context.invoked_subcommand
            raise ConfigError(f"{name} stands in front of {after}.", f"Put it behind {after}.")


def _strategies(given: list[str]) -> list[str]:
    """Return names in the order of the catalogue's list."""
    known = list(strategies())
    for name in given:
        if name != "all":
            require_known(name, known, "--strategy", "strategies")
    return known if "all" in given else [name for name in known if name in given]


def _specs(
    current: Session, given: list[str] | None, model: str | None, data: Path | None
) -> list[TableSpec]:
    """Return the tables that are named, or all that can be played on."""
    if given:
        return [read_spec(name) for name in dict.fromkeys(given)]
    found = []
    for spec in map(read_spec, tables()):
        needed = spec.needs(model, data)
        if needed:
            command = " ".join(["peftsearch bench --table", spec.name, *needed])
            current.console.warn(f"{spec.name} is skipped: {spec.description}. Type: {command}")
        elif not facts(spec)["built"]:
            command = paste("peftsearch", "bench", "build", spec.name)
            current.console.warn(f"{spec.name} is skipped: it is not built. Type: {command}")
        else:
            found.append(spec)
    if not found:
        raise MissingError("There is no table to play on.", "List: peftsearch list tables")
    return found


def _folder(out: Path | None) -> Path:
    """Return the folder of the benchmark.

    Raises:
        ConfigError: Something else lies there.
    """
    if out is None:
        moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H%M%S")
        return Path("runs") / f"bench-{moment}"
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
    if out.exists() and any(out.iterdir()) and not (out / "plays.jsonl").is_file():
        message = f"{out} is not empty, and holds no benchmark to go on with."
        raise ConfigError(message, "Choose another with --out DIR.")
    return out


def _again(folder: Path) -> str:
    """Return the command that goes on: the same, and the folder."""
    words = sys.argv[1:]
    given = any(word == "--out" or word.startswith("--out=") for word in words)
    return paste("peftsearch", *words, *([] if given else ["--out", folder]))


def _steps(progress: Progress, stage: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        progress({"stage": stage, "event": "step", "step": done, "steps": total})

    return tell


@app.command("build", epilog="Examples:\n\npeftsearch bench build micro-nli --jobs 2")
def build(
    table: b.TableName,
    jobs: b.Jobs = 1,
    model: b.Model = None,
    data: b.Data = None,
    out: b.TableOut = None,
    most: b.Most = None,
    check: b.Check = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Train every architecture of a table from scratch.

    What is there already is not trained again. With --check nothing is built: rows drawn at
    random are trained again, and what differs is listed. Equal numbers are to be expected on
    like hardware with like versions; elsewhere they are rounded otherwise. Exit code 1 means
    that scores are off by more than twice what two seeds differ by.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        spec = read_spec(table)
        config = spec.config(model, data)
        if out is not None:
            spec = copied(spec, out)
        current.again = _again(out) if out is not None else paste("peftsearch", *sys.argv[1:])
        with Progress(current.console) as progress:
            if check is not None:
                _check(current, spec, config, check, jobs, _steps(progress, "check"))
                return
            from peftsearch.bench.build import build as build_table

            tell = _steps(progress, "build")
            build_table(writable(spec), config, jobs=jobs, most=most, progress=tell)
        found = _built(spec)
        words = [out or table, *(["--model", model] if model else [])]
        words += ["--data", data] if data else []
        lines = built_lines(found, spec.folder, words)
        current.console.result(lines, brief=str(spec.folder), data=found)


def _check(
    current: Session,
    spec: TableSpec,
    config: Any,
    count: int,
    jobs: int,
    tell: Callable[[int, int], None],
) -> None:
    """Train rows again.

    Raises:
        PeftSearchError: Some came out farther off than seeds are from each other.
    """
    from peftsearch.bench.checking import check

    found = check(spec, config, count, jobs=jobs, progress=tell)
    data = {
        "table": spec.name,
        "checked": found.trained,
        "rows_different": found.rows_different,
        "off": found.off,
        "noise": found.noise,
        "within_noise": found.within_noise,
        "different": [asdict(d) for d in found.different],
    }
    lines, good = checked_lines(data), found.within_noise
    brief = str(spec.folder) if good else ""
    current.console.result(lines if good else [], brief=brief, data=data)
    if not good:
        raise PeftSearchError("\n".join(lines), "Other versions? See those of table.json.")


def _built(spec: TableSpec) -> dict[str, Any]:
    """Return the facts of a table with its ceilings, which want one complete seed."""
    from peftsearch.bench.build import read_rows
    from peftsearch.bench.spec import SCORES
    from peftsearch.bench.table import Table, ceiling

    found = {**facts(spec), "folder": str(spec.folder), "ceilings": {}}
    found["rows"] = len(read_rows(spec.folder / SCORES))
    if found["built"]:
        whole = Table.read(spec.folder)
        limits = spec.budgets.items()
        found["ceilings"] = {name: asdict(ceiling(whole, limit)) for name, limit in limits}
    return found


@app.command("list")
def list_tables(as_json: o.Json = False, debug: o.Debug = False) -> None:
    """List the tables; the same as: list tables."""
    list_names("tables", as_json=as_json, debug=debug)
