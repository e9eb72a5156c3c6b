"""Where a table is built: in its own folder, or in a copy elsewhere."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from peftsearch.bench.spec import TableSpec
from peftsearch.errors import ConfigError, paste


def writable(spec: TableSpec) -> TableSpec:
    """Return the table if its folder can be written to.

    Raises:
        ConfigError: It cannot: the package is installed where users do not write.
    """
    if os.access(spec.folder, os.W_OK):
        return spec
    command = paste("peftsearch", "bench", "build", spec.name, "--out", "DIR")
    raise ConfigError(f"{spec.folder} cannot be written to.", f"Build elsewhere: {command}")


def copied(spec: TableSpec, out: Path) -> TableSpec:
    """Copy what describes a table to another folder, and return the table there.

    Raises:
        ConfigError: Another table lies there, or it is not a folder.
    """
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file, not a folder.", "Choose another with --out DIR.")
    out.mkdir(parents=True, exist_ok=True)
    for source in sorted(spec.folder.glob("*.yaml")):
        target, content = out / source.name, source.read_bytes()
        if target.is_file() and target.read_bytes() != content:
            raise ConfigError(
                f"{target} belongs to another table than {spec.name}.",
                "Choose another folder with --out DIR.",
            )
        target.write_bytes(content)
    return replace(spec, folder=out)
