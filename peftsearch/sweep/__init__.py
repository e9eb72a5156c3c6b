"""Many runs from one file: a matrix of configurations, each trained once, wherever there is room.

Place in the flow: above the run, which it starts as a process of its own; file -> axes -> points
-> folder -> crew -> outcome. Torch-free.
"""

from __future__ import annotations

from peftsearch.sweep.spec import Sweep, read_sweep

__all__ = ["Sweep", "read_sweep"]
