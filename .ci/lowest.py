"""Print the lower bound of every dependency as a pin, from ``pyproject.toml``.

    python .ci/lowest.py > lowest.txt

torch stays at the version of ``constraints.txt``.
"""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest(pyproject: str) -> list[str]:
    """Return ``name==lower bound`` for each entry of ``dependencies``."""
    block = pyproject.split("\ndependencies = [", 1)[1].split("\n]", 1)[0]
    found = re.findall(r'^\s*"([\w-]+)>=([\w.]+),<', block, flags=re.MULTILINE)
    return [f"{name}=={version}" for name, version in found]


if __name__ == "__main__":
    print("\n".join(lowest((ROOT / "pyproject.toml").read_text(encoding="utf-8"))))
