"""Finding the tokenizer of the targets, where a model writes another alphabet than it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from peftsearch.errors import ConfigError
from peftsearch.hub import hub_call
from peftsearch.nearest import did_you_mean


def load_target_tokenizer(name: str, tokenizer: Any) -> Any:
    """Load a tokenizer from a folder inside the model's, from a path, or from the Hub.

    Args:
        name: The folder, path or id.
        tokenizer: The source tokenizer of the model: it knows where the model lies.

    Raises:
        ConfigError: The model's folder has no such folder, and there is no such path.
        MissingError: The Hub does not have it.
    """
    home = str(tokenizer.name_or_path)
    for folder in (Path(home) / name, Path(name)):
        if folder.is_dir():
            return AutoTokenizer.from_pretrained(folder)
    if "/" in name:
        return hub_call(name, lambda: AutoTokenizer.from_pretrained(name))
    if Path(home).is_dir():
        there = [path.name for path in Path(home).iterdir() if path.is_dir()]
        raise ConfigError(
            f'the target_tokenizer "{name}" is no folder of {home}.', did_you_mean(name, there)
        )
    return hub_call(home, lambda: AutoTokenizer.from_pretrained(home, subfolder=name))
