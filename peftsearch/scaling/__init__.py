"""What many trials on many devices would take, from what one trial has taken.

Place in the flow: beside the plan; measured runs, or a few timed steps -> **prediction**.
"""

from __future__ import annotations

from peftsearch.scaling.measured import Measured, read_measured
from peftsearch.scaling.prediction import predict

__all__ = ["Measured", "predict", "read_measured"]
