"""LLaMA-Factory: YAML that trains the architecture from an untrained PEFT adapter.

Its own keys have one rank for all modules; the adapter that it resumes from has each its own.
"""

from __future__ import annotations

from pathlib import Path

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.export import retraining
from peftsearch.export.base import Bundle, Evidence, Problem
from peftsearch.export.retraining import Setting
from peftsearch.rundir import write_json

EXPORTER = {
    "name": "llamafactory",
    "title": "LLaMA-Factory: YAML that trains LoRA of the found ranks, on decoders",
    "holds": {
        "lora": {
            "encoders": "LLaMA-Factory trains decoders, and this is an encoder",
            "encoder-decoders": "LLaMA-Factory trains decoders, and this is an encoder-decoder",
            "*": "",
        },
    },
    "otherwise": "LLaMA-Factory resumes from LoRA and nothing else of what peftsearch finds",
}
FILE, DESCRIPTION = "llamafactory.yaml", "dataset_info.json"
_ROWS = "rows"
_READ = f"""
import yaml
from importlib.metadata import version
from llamafactory.hparams import get_train_args
get_train_args(yaml.safe_load(open("{FILE}")))
print(version("llamafactory"))
"""


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return what PEFT cannot hold, and a model that LLaMA-Factory does not train."""
    return retraining.problems_of_decoders(architecture, backbone, "LLaMA-Factory")


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``llamafactory.yaml``, the adapter it starts from, and how to read the rows."""
    retraining.write_start(bundle, folder)
    settings = [*_adapter(bundle), *_rows(), *retraining.recipe(bundle)]
    retraining.write_settings(folder / FILE, "llamafactory-cli train", settings)
    columns = {"prompt": "prompt", "response": "completion"}
    write_json(folder / DESCRIPTION, {_ROWS: {"file_name": retraining.ROWS, "columns": columns}})


def _adapter(bundle: Bundle) -> list[Setting]:
    source = retraining.base_model(bundle)
    return [
        Setting("model_name_or_path", source, "The frozen model: Hub id or folder."),
        Setting(
            "adapter_name_or_path",
            retraining.ADAPTER,
            "Where training starts: B is zero. Its own config decides on modules and ranks; "
            "lora_rank and lora_target are not read beside it.",
        ),
        Setting("create_new_adapter", False, "Train this adapter, not another one upon it."),
        Setting("finetuning_type", "lora", "What kind the adapter is."),
        Setting("stage", "sft", "Supervised training on prompts and completions."),
        Setting("do_train", True, "Train."),
    ]


def _rows() -> list[Setting]:
    return [
        Setting("dataset_dir", ".", f"Where {DESCRIPTION} is, which names the columns."),
        Setting("dataset", _ROWS, f"Its entry in {DESCRIPTION}."),
        Setting("template", "empty", "Rows as they stand; a chat model wants its own template."),
        Setting("cutoff_len", 1024, "Tokens of the longest row."),
    ]


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the start with PEFT, and let LLaMA-Factory read the file where it is there."""
    said = retraining.accepted(bundle, folder, "llamafactory", _READ)
    return retraining.verify_start(bundle, folder, {FILE: said})


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the command that starts LLaMA-Factory, and lines that load its start."""
    return retraining.start_lines(bundle, folder, "llamafactory-cli", "train", FILE)
