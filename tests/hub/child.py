"""Runs loads one after the other in a process of its own, and prints what came of each.

Reads ``[[name, kind, id, option], …]`` as its argument; prints one JSON object by name.
"""

from __future__ import annotations

import json
import sys
from typing import Any


def main() -> None:
    from peftsearch.errors import PeftSearchError

    answers: dict[str, Any] = {}
    for name, kind, repo_id, option in json.loads(sys.argv[1]):
        try:
            answer = {"value": load(kind, repo_id, option)}
        except PeftSearchError as error:
            answer = {"exit_code": error.exit_code, "message": error.message, "hint": error.hint}
        answers[name] = answer
    sys.stdout.write(json.dumps(answers, default=str))


def load(kind: str, repo_id: str, option: str) -> Any:
    from peftsearch.hub import hub_call, load_rows
    from peftsearch.tasks import Hub, get
    from peftsearch.tasks import load as load_task

    if kind == "task":
        data = load_task(get(repo_id))
        return [len(data.train), len(data.test), data.test_name, data.fingerprint, data.train[0]]
    if kind == "named":
        from peftsearch.tasks import Wishes

        wishes = Wishes(**json.loads(option or "{}"))
        task = get(f"hf:{repo_id}", wishes)
        data = load_task(task)
        return [task.kind, list(task.columns), task.label_column, list(task.labels),
                len(data.train), len(data.test), data.train[0]]  # fmt: skip
    if kind == "folder":
        rows = load_rows(Hub(repo_id, data_dir=option))
        return {split: len(found) for split, found in rows.items()}
    if kind == "rows":
        rows = load_rows(Hub(repo_id, option or "rte", test="validation"))
        return {split: len(found) for split, found in rows.items()}
    import transformers

    loader = {
        "config": transformers.AutoConfig,
        "tokenizer": transformers.AutoTokenizer,
        "model": transformers.AutoModelForSeq2SeqLM,
    }[kind]
    return type(hub_call(repo_id, lambda: loader.from_pretrained(repo_id))).__name__


if __name__ == "__main__":
    main()
