"""TRL: a script that trains the architecture from untrained PEFT adapters.

TRL's own command line has one rank for all modules, but its trainers take a model that PEFT has
prepared. The script is ``trl_script.py`` as it stands.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone
from peftsearch.export import retraining, trl_script
from peftsearch.export.base import Bundle, Evidence, Problem, exporter
from peftsearch.export.retraining import Setting
from peftsearch.export.snippets import is_decoder, is_seq2seq

EXPORTER = {
    "name": "trl",
    "title": "TRL: a script that trains what PEFT holds, on models that write text",
    "holds": {
        "lora ia3 layernorm": {
            "encoders": "TRL trains models that write text, and this one gives labels",
            "whisper": "TRL's trainers give texts to a model, and this one hears sounds",
            "*": "",
        },
        "bitfit": {
            "gpt2": "PEFT trains biases of nn.Linear alone, and GPT-2's maps are of another class",
            "encoders": "TRL trains models that write text, and this one gives labels",
            "whisper": "TRL's trainers give texts to a model, and this one hears sounds",
            "*": "",
        },
        "bitfit.norm": {
            "encoders": "TRL trains models that write text, and this one gives labels",
            "whisper": "TRL's trainers give texts to a model, and this one hears sounds",
            "t5 mt5 umt5 longt5": "T5's norms have no bias, and PEFT adds none to a norm",
            "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 mixtral olmoe": (
                "this model's norms have no bias, and PEFT adds none to a norm"
            ),
            "*": "",
        },
    },
    "otherwise": "TRL trains what PEFT holds, and PEFT has no such method for single layers",
}
SCRIPT, FILE = "train.py", "trl.yaml"
_READ = """
from importlib.metadata import version
from pathlib import Path
import train
start, _ = train.arguments(Path())
name = "transformers" if start.encoder_decoder else "trl"
print("with", name, version(name))
"""


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return what PEFT cannot hold, and a model that does not write text."""
    found = exporter("peft").problems(architecture, backbone)
    if not (is_seq2seq(backbone.model) or is_decoder(backbone.model)):
        reason = "TRL trains models that write text, and this one gives labels"
        found.append(Problem("head", "head", reason))
    return found


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``train.py``, ``trl.yaml`` with its settings, and the adapters it starts from."""
    retraining.write_start(bundle, folder)
    head = (
        "Trains the architecture that peftsearch found. In this folder: python train.py. The rows "
        f"are yours: {retraining.ROWS}, a JSON object a line with prompt and completion. Every key "
        "can be given on the command line, e.g. --max_steps 2."
    )
    settings = [*_start(bundle), *retraining.recipe(bundle)]
    (folder / FILE).write_text(retraining.explained(head, settings), encoding="utf-8")
    script = Path(trl_script.__file__).read_text(encoding="utf-8")
    (folder / SCRIPT).write_text(script, encoding="utf-8")


def _start(bundle: Bundle) -> list[Setting]:
    seq2seq = is_seq2seq(bundle.backbone.model)
    return [
        Setting("model", retraining.base_model(bundle), "The frozen model: Hub id or folder."),
        Setting("rows", retraining.ROWS, "Your rows: a path, seen from this folder."),
        Setting(
            "encoder_decoder",
            seq2seq,
            "Whether Seq2SeqTrainer of transformers trains, or SFTTrainer of TRL, which knows "
            "decoders alone.",
        ),
        Setting("max_length", 512 if seq2seq else 1024, "Tokens of the longest text."),
        Setting("save_strategy", "no", "The adapters are saved at the end."),
    ]


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the start with PEFT, and read the settings with the trainer's own classes."""
    if bundle.python is not None:
        said = retraining.accepted(bundle, folder, "trl", _READ)
    elif is_seq2seq(bundle.backbone.model) or find_spec("trl"):
        _, settings = trl_script.arguments(folder)
        said = f"accepted by {type(settings).__name__}"
    else:
        said = "not read by TRL, which is not installed here"
    return retraining.verify_start(bundle, folder, {FILE: said})


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the command that starts the training, and lines that load its start."""
    return retraining.start_lines(bundle, folder, "python", SCRIPT)
