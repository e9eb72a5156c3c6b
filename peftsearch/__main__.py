"""``python -m peftsearch`` is the command ``peftsearch``."""

from __future__ import annotations

from peftsearch.cli import main

if __name__ == "__main__":
    main()
