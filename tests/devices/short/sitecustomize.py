"""What tests lay on the path of commands: no report, and one uniform baseline."""

from __future__ import annotations

import sys

if "peftsearch" in " ".join(sys.orig_argv) and "-m" in sys.orig_argv:
    from peftsearch import baselines, report

    report.write_report = lambda *args, **more: None  # type: ignore[assignment]
    baselines.UNIFORM = {"uniform-lora": "lora"}
