"""``config schema``: the published JSON schemas of the files that others read."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from peftsearch.catalogue import schemas
from peftsearch.cli import options as o
from peftsearch.cli.session import session
from peftsearch.config.values import require_known

app = typer.Typer(no_args_is_help=True, help="The formats of files.")

Kind = Annotated[
    str,
    typer.Argument(metavar="|".join(schemas()), help="Of which file.", show_default=False),
]


@app.command("schema")
def schema(kind: Kind = "native", as_json: o.Json = False, debug: o.Debug = False) -> None:
    """Print a JSON schema.

    Of native.json, the document of a native export, of architecture.json, or of a
    run's report.json. What the methods in them mean is in docs/format.md.
    """
    with session(as_json=as_json, debug=debug) as current:
        known = schemas()
        require_known(kind, list(known), "config schema", "")
        text = known[kind].read_text(encoding="utf-8")
        current.console.result([text.rstrip()], data={"schema": json.loads(text)})
