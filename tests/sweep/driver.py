"""Work on a sweep with stub runs, as a process: FILE DIR JOBS."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from peftsearch.errors import StoppedError
from peftsearch.sweep.crew import Crew
from peftsearch.sweep.folder import SweepFolder
from peftsearch.sweep.spec import read_sweep

STUB = (sys.executable, str(Path(__file__).with_name("stub.py")))


def main() -> None:
    """Work until nothing is left."""
    file, place, jobs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    sweep = read_sweep(file)
    folder = SweepFolder.open(place, sweep.name)
    points = folder.settled(sweep.points)
    crew = Crew(folder, points, jobs, os.environ, program=STUB, look_again=0.1)
    try:
        crew.work()
    except StoppedError as error:
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
