"""The configuration of a run: its keys, their checks, and how the layers are merged.

Place in the flow: first of all; the resolved configuration is written into ``config.yaml``
before any work begins. Torch-free.
"""

from __future__ import annotations

from peftsearch.config.layers import resolve, resume
from peftsearch.config.names import Names, known_names
from peftsearch.config.reading import (
    check_mapping,
    dump,
    from_mapping,
    load,
    read_yaml,
    to_mapping,
)
from peftsearch.config.schema import (
    PRESETS,
    ExportConfig,
    FreezeConfig,
    LimitsConfig,
    RaceConfig,
    RetrainConfig,
    RunConfig,
    SearchConfig,
)

__all__ = [
    "PRESETS",
    "ExportConfig",
    "FreezeConfig",
    "LimitsConfig",
    "Names",
    "RaceConfig",
    "RetrainConfig",
    "RunConfig",
    "SearchConfig",
    "check_mapping",
    "dump",
    "from_mapping",
    "known_names",
    "load",
    "read_yaml",
    "resolve",
    "resume",
    "to_mapping",
]
