"""Write the table of docs/export.md anew, from what the exporters declare."""

from __future__ import annotations

from pathlib import Path

from peftsearch.export.capabilities import renewed

if __name__ == "__main__":
    path = Path(__file__).resolve().parents[1] / "docs" / "export.md"
    path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
    print(path)
