"""Axolotl: YAML that trains the architecture from an untrained PEFT adapter.

The ranks stand in the YAML too, as Axolotl's own patterns: without the adapter, it draws the same
architecture by itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.export import retraining
from peftsearch.export.base import Bundle, Evidence, Problem
from peftsearch.export.retraining import Setting

EXPORTER = {
    "name": "axolotl",
    "title": "Axolotl: YAML that trains LoRA of the found ranks, on decoders",
    "holds": {
        "lora": {
            "encoders": "Axolotl trains decoders, and this is an encoder",
            "encoder-decoders": "Axolotl trains decoders, and this is an encoder-decoder",
            "*": "",
        },
    },
    "otherwise": "Axolotl trains LoRA and nothing else of what peftsearch finds",
}
FILE = "axolotl.yaml"
_READ = f"""
import yaml
from importlib.metadata import version
from axolotl.utils.schemas.config import AxolotlInputConfig
given = yaml.safe_load(open("{FILE}"))
unknown = set(given) - set(AxolotlInputConfig.model_fields)
if unknown:
    raise SystemExit(f"unknown keys: {{sorted(unknown)}}")
AxolotlInputConfig(**given)
print(version("axolotl"))
"""


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return what PEFT cannot hold, and a model that Axolotl does not train."""
    return retraining.problems_of_decoders(architecture, backbone, "Axolotl")


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``axolotl.yaml`` and the adapter that it starts from."""
    retraining.write_start(bundle, folder)
    adapter = json.loads((folder / retraining.ADAPTER / "adapter_config.json").read_text("utf-8"))
    settings = [*_adapter(bundle, adapter), *_rows(), *_recipe(bundle)]
    retraining.write_settings(folder / FILE, "axolotl train", settings)


def _adapter(bundle: Bundle, adapter: dict[str, Any]) -> list[Setting]:
    """Return what says which modules get which rank, read from the adapter itself."""
    alphas = {path: round(alpha) for path, alpha in adapter["alpha_pattern"].items()}
    return [
        Setting("base_model", retraining.base_model(bundle), "The frozen model: Hub id or folder."),
        Setting("adapter", "lora", "LoRA; qlora would quantise the frozen model too."),
        Setting(
            "lora_model_dir",
            f"./{retraining.ADAPTER}",
            "Where training starts: B is zero. Its own config decides on modules and ranks; "
            "without this line, the following ones do, and say the same.",
        ),
        Setting("lora_r", adapter["r"], "The rank of every module that no pattern names."),
        Setting("lora_alpha", round(adapter["lora_alpha"]), "The scale is alpha / rank."),
        Setting(
            "lora_target_modules",
            adapter["target_modules"],
            "The modules of the architecture, by full paths: every layer has its own.",
        ),
        Setting("lora_rank_pattern", adapter["rank_pattern"], "The ranks of the other modules."),
        Setting("lora_alpha_pattern", alphas, "Their alphas: the same scale at every rank."),
        Setting("lora_dropout", 0.0, "None, as in the search."),
    ]


def _rows() -> list[Setting]:
    columns = {"field_instruction": "prompt", "field_output": "completion"}
    plain = {"format": "{instruction}", "no_input_format": "{instruction}"}
    rows = {"path": retraining.ROWS, "ds_type": "json", "type": {**columns, **plain}}
    return [
        Setting("datasets", [rows], "Your rows, the prompt as it stands; see Axolotl's formats."),
        Setting("train_on_inputs", False, "The loss is on completions alone."),
        Setting("val_set_size", 0.0, "No rows are held back."),
        Setting("sequence_len", 1024, "Tokens of the longest row."),
        Setting("sample_packing", False, "One row a sequence."),
    ]


def _recipe(bundle: Bundle) -> list[Setting]:
    return [
        Setting("micro_batch_size", 8, "Rows a step on one device ..."),
        Setting("gradient_accumulation_steps", 4, "... times this: 32, as peftsearch retrains."),
        Setting("num_epochs", 3, "Times through the rows."),
        Setting("optimizer", "adamw_torch", "As peftsearch retrains."),
        Setting(
            "learning_rate",
            retraining.learning_rate(bundle.architecture),
            "peftsearch's own for LoRA.",
        ),
        Setting("lr_scheduler", "linear", "Falls to zero, after ..."),
        Setting("warmup_ratio", 0.06, "... a rise over this share of the steps."),
        Setting("weight_decay", 0.0, "None, as peftsearch retrains."),
        Setting("bf16", "auto", "Half precision where the device has it."),
        Setting("logging_steps", 10, "Steps between two lines of the log."),
        Setting("seed", 0, "Order of the rows."),
        Setting("output_dir", f"./{retraining.TRAINED}", "The trained adapter, for PEFT."),
    ]


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the start with PEFT, and let Axolotl's config class read the file where it is there."""
    said = retraining.accepted(bundle, folder, "axolotl", _READ)
    return retraining.verify_start(bundle, folder, {FILE: said})


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the command that starts Axolotl, and lines that load its start."""
    return retraining.start_lines(bundle, folder, "axolotl", "train", FILE)
