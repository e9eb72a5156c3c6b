"""The commands and their order in the help."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import metadata
from typing import Annotated, Any, Literal

import typer

from peftsearch.cli import (
    benching,
    comparing,
    configuring,
    importing,
    looking,
    running,
    stages,
    sweeping,
    tuning,
)
from peftsearch.console import Console, is_plain

# Off a terminal the help is plain text, without boxes: it is read by scripts and pagers.
_MARKUP: Literal["rich"] | None = None if is_plain(sys.stdout, os.environ) else "rich"

app = typer.Typer(
    name="peftsearch",
    help="Find which PEFT method, of which size, belongs at which layer, within a budget.",
    no_args_is_help=True,
    rich_markup_mode=_MARKUP,
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_RUN, _STAGES, _LOOK, _WRITE, _SYSTEM = "Run", "Stages", "Look", "Write", "System"
_COMMANDS: tuple[tuple[str, Callable[..., Any], str, tuple[str, ...]], ...] = (
    (
        "run",
        running.run,
        _RUN,
        ("peftsearch run", "peftsearch run --model t5-base --task rte --budget 1%"),
    ),
    (
        "plan",
        running.plan,
        _RUN,
        ("peftsearch plan", "peftsearch plan --model t5-base --task rte --budget 1% --json"),
    ),
    (
        "sweep",
        sweeping.sweep,
        _RUN,
        ("peftsearch sweep budgets.yaml --dry-run", "peftsearch sweep budgets.yaml --jobs 2"),
    ),
    (
        "tune",
        tuning.tune,
        _RUN,
        (
            "peftsearch tune --trials 20",
            "peftsearch tune --model t5-base --task rte --trials 60 --workers 2 --out tuning",
        ),
    ),
    ("search", stages.search, _STAGES, ("peftsearch search runs/NAME",)),
    ("discretise", stages.discretise, _STAGES, ("peftsearch discretise runs/NAME",)),
    (
        "retrain",
        running.retrain,
        _STAGES,
        (
            "peftsearch retrain runs/NAME",
            "peftsearch retrain runs/NAME/architecture.json --task mrpc --out other",
        ),
    ),
    ("baselines", stages.baselines, _STAGES, ("peftsearch baselines runs/NAME",)),
    (
        "export",
        stages.export,
        _WRITE,
        (
            "peftsearch export runs/NAME --to native",
            "peftsearch export runs/NAME --to peft --out adapter",
            "peftsearch export architecture.json --untrained --to peft --out adapter",
            "peftsearch export runs/NAME --to hub --repo USER/NAME",
        ),
    ),
    (
        "import",
        importing.import_adapter,
        _WRITE,
        (
            "peftsearch import adapter --model t5-base --out architecture.json",
            "peftsearch import adapter --model t5-base --native trained",
        ),
    ),
    ("report", stages.report, _WRITE, ("peftsearch report runs/NAME",)),
    (
        "compare",
        comparing.compare,
        _WRITE,
        (
            "peftsearch compare runs/A runs/B",
            "peftsearch compare --glob 'runs/rte-*' --out rte-budgets",
        ),
    ),
    (
        "list",
        looking.list_names,
        _LOOK,
        ("peftsearch list tasks", "peftsearch list methods --json"),
    ),
    (
        "show",
        looking.show,
        _LOOK,
        ("peftsearch show runs/NAME", "peftsearch show runs/NAME/architecture.json"),
    ),
    (
        "validate",
        looking.validate_files,
        _LOOK,
        ("peftsearch validate space.yaml", "peftsearch validate config.yaml task.yaml"),
    ),
    ("env", looking.env, _SYSTEM, ("peftsearch env", "peftsearch env --json")),
)

for _name, _body, _panel, _examples in _COMMANDS:
    _epilog = "Examples:\n\n" + "\n\n".join(_examples)
    app.command(_name, rich_help_panel=_panel, epilog=_epilog)(_body)

app.add_typer(
    benching.app,
    name="bench",
    rich_help_panel=_RUN,
    epilog="Examples:\n\npeftsearch bench\n\npeftsearch bench --strategy all --jobs 2",
)

app.add_typer(
    configuring.app,
    name="config",
    rich_help_panel=_LOOK,
    epilog="Examples:\n\npeftsearch config schema\n\npeftsearch config schema architecture",
)


def _version(wanted: bool) -> None:
    if wanted:
        version = metadata.version("peftsearch")
        Console().result([version], brief=version)
        raise typer.Exit


@app.callback()
def _group(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Find which PEFT method, of which size, belongs at which layer, within a budget."""


def main() -> None:
    """Run the command line; ends the process with the exit code."""
    app(prog_name="peftsearch")
