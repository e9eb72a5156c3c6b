"""Runs commands one after the other in a process of its own, and prints what came of each.

Reads ``[[token, word, word, ...], ...]`` as its argument, an empty token for none; prints a list of
exit code, standard output and standard error.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys


def main() -> None:
    from peftsearch.cli import main as command

    answers = []
    for token, *words in json.loads(sys.argv[1]):
        os.environ.pop("HF_TOKEN", None)
        if token:
            os.environ["HF_TOKEN"] = token
        sys.argv = ["peftsearch", *words]
        out, err = io.StringIO(), io.StringIO()
        code = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                command()
            except SystemExit as ended:
                code = int(ended.code or 0)
        answers.append([code, out.getvalue(), err.getvalue()])
    sys.stdout.write(json.dumps(answers))


if __name__ == "__main__":
    main()
