"""What ``save_pretrained`` writes of an applied model: a clean backbone, and the layers beside it.

Place in the flow: injection -> any trainer. The checkpoint has the backbone's own tensors under
their own names and nothing else, so plain ``from_pretrained`` takes it as it is. What was inserted
lies beside it in the native format, and ``peftsearch.load`` reads both.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from peftsearch.backbones.base import is_inserted
from peftsearch.methods.base import SLOT

#: What Trainer calls the folders that it resumes from.
_CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-\d+")


class CleanSaving:
    """Stands in the place of a model's ``save_pretrained``.

    Trainer's own checkpoints (``checkpoint-<steps>``) are states to resume from: Trainer loads
    their ``model.safetensors`` into the model, and from nowhere else. They hold all tensors.

    Args:
        model: The model with inserted layers.
    """

    def __init__(self, model: Any) -> None:
        self.model = model

    def __call__(
        self,
        save_directory: str | os.PathLike[str],
        is_main_process: bool = True,
        state_dict: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Save as transformers does; arguments as there.

        Args:
            save_directory: The folder.
            is_main_process: Whether this process writes.
            state_dict: All tensors of the model, where it cannot give them itself.
            options: Passed on.
        """
        from peftsearch.export.native import save

        kind: Any = type(self.model)
        folder = Path(save_directory)
        options["is_main_process"] = is_main_process
        if _CHECKPOINT.fullmatch(folder.absolute().name):
            kind.save_pretrained(self.model, folder, state_dict=state_dict, **options)
            return
        if is_main_process and not folder.is_file():
            save(self.model, folder)
        if state_dict is not None:
            state_dict = {name: t for name, t in state_dict.items() if not is_inserted(name)}
        with _out_of_sight(self.model):
            kind.save_pretrained(self.model, folder, state_dict=state_dict, **options)


@contextmanager
def _out_of_sight(model: nn.Module) -> Iterator[None]:
    """Take the slots out of the modules' lists of children, for as long as a block lasts."""
    hosts = [module for module in model.modules() if SLOT in module._modules]
    slots = [module._modules.pop(SLOT) for module in hosts]
    try:
        yield
    finally:
        for module, slot in zip(hosts, slots, strict=True):
            module._modules[SLOT] = slot
