"""The run directory: the only thing the stages share.

Place in the flow: every stage reads its input from here and writes its result here. All
writes are atomic, and one process writes at a time.
"""

from __future__ import annotations

from peftsearch.rundir.directory import RunDir, claim, default_name, require_empty
from peftsearch.rundir.events import Events, Listener
from peftsearch.rundir.files import (
    atomic_path,
    copy_file,
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from peftsearch.rundir.lines import JsonLines
from peftsearch.rundir.manifest import STAGES, Manifest

__all__ = [
    "STAGES",
    "Events",
    "JsonLines",
    "Listener",
    "Manifest",
    "RunDir",
    "atomic_path",
    "claim",
    "copy_file",
    "default_name",
    "read_json",
    "require_empty",
    "write_bytes",
    "write_json",
    "write_text",
]
