"""``import``: somebody else's adapter as an architecture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from peftsearch.cli import options as o
from peftsearch.cli.rendering import architecture_lines
from peftsearch.cli.session import session
from peftsearch.errors import ConfigError

Adapter = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A folder of PEFT or of the adapters library, or a config of the latter.",
        show_default=False,
    ),
]
Model = Annotated[
    str,
    o.option("--model", metavar="ID|DIR", text="The backbone that it was made for."),
]
Task = Annotated[
    str | None,
    o.option("--task", metavar="NAME", text="Task to note in the architecture. Default: none."),
]
Out = Annotated[
    Path,
    o.option("--out", metavar="FILE", text="Where to write. Default: architecture.json."),
]
Native = Annotated[
    Path | None,
    o.option(
        "--native",
        metavar="DIR",
        text="Write the weights too, as peftsearch.load reads them. PEFT folders only.",
    ),
]


def import_adapter(
    path: Adapter,
    model: Model,
    out: Out = Path("architecture.json"),
    task: Task = None,
    native: Native = None,
    backbone: o.Backbone = None,
    as_json: o.Json = False,
    quiet: o.Quiet = False,
    debug: o.Debug = False,
) -> None:
    """Read an adapter of PEFT or of the adapters library as an architecture.

    Reads the folder, and the backbone's configuration. Writes architecture.json, for
    export --untrained, or for a run to be compared with (retrain.baselines). What an
    architecture cannot hold is refused, and every module is named with the reason.
    """
    with session(quiet=quiet, as_json=as_json, debug=debug) as current:
        for place in (out, *([] if native is None else [native])):
            if place.exists() and not (place.is_dir() and place == native):
                raise ConfigError(f"{place} is there already.", "Choose another place.")
        from peftsearch.export.native import save
        from peftsearch.export.writing import check_place
        from peftsearch.importing.pieces import NO_TASK
        from peftsearch.importing.reading import import_architecture, import_model

        found = import_architecture(path, model, task or NO_TASK, backbone)
        if native is not None:
            check_place(native)
            save(import_model(path, model, task or NO_TASK, backbone), native)
        out.parent.mkdir(parents=True, exist_ok=True)
        found.save(out)
        written = [str(out), *([] if native is None else [str(native)])]
        data = {"written": written, "num_params": found.num_params}
        current.console.result(architecture_lines(found) + written, brief=str(out), data=data)
