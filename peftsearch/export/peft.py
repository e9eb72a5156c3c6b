"""Hugging Face PEFT: LoRA, IA3, LayerNorm tuning and BitFit, any mixture of them.

PEFT holds one method per adapter. LoRA is one folder, whatever its ranks and modules; every
other method is a folder of its own, and ``load_order.json`` says in which order they are loaded,
which is the order of composition. An export of one folder is that folder.

Modules are named by their full paths, since PEFT's suffixes hit both stacks of a T5 or BART.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor, nn

from peftsearch.architecture import Architecture
from peftsearch.backbones.base import Backbone, freeze, head_kind, head_prefixes
from peftsearch.errors import MissingError
from peftsearch.export.base import Bundle, Entry, Evidence, Problem, logits_of
from peftsearch.export.snippets import backbone_lines, is_decoder, is_seq2seq
from peftsearch.export.touched import METHODS, Touched, touched
from peftsearch.methods.lora import SCALE
from peftsearch.rundir import atomic_path, write_json

EXPORTER = {
    "name": "peft",
    "title": "Hugging Face PEFT: LoRA of any ranks, IA3, LayerNorm and BitFit, also mixed",
    "holds": {
        "layernorm lora ia3": "",
        "bitfit": {
            "gpt2": "PEFT trains biases of nn.Linear alone, and GPT-2's maps are of another class",
            "*": "",
        },
        "bitfit.norm": {
            "t5 mt5 umt5 longt5": "T5's norms have no bias, and PEFT adds none to a norm",
            "modernbert": "ModernBERT's norms have no bias, and PEFT adds none to a norm",
            "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 mixtral olmoe": (
                "this model's norms have no bias, and PEFT adds none to a norm"
            ),
            "*": "",
        },
        "adapter parallel_adapter": "PEFT has no bottleneck adapter",
        "prefix": (
            "PEFT's prefixes have one length in all layers, and none in T5's or BART's encoder"
        ),
    },
    "otherwise": "PEFT has no such method",
}
ORDER = "load_order.json"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Part:
    """One adapter folder.

    Attributes:
        name: Its name, and that of the entry in ``check.json``.
        mark: What PEFT's names of its trained parameters contain.
        targets: The modules it touches.
        methods: Our methods that it holds.
    """

    name: str
    mark: str
    targets: list[Touched]
    methods: tuple[str, ...]

    @property
    def num_params(self) -> int:
        """Parameters that the architecture trains here."""
        return sum(t.num_params.get(m, 0) for t in self.targets for m in self.methods)


def problems(architecture: Architecture, backbone: Backbone) -> list[Problem]:
    """Return the one thing that the table does not know: an adapter without a module."""
    if architecture.active:
        return []
    return [Problem("all sites", "none", "nothing was chosen, and PEFT needs one module")]


def parts(bundle: Bundle) -> list[Part]:
    """Return the adapters that an export consists of, in the order of composition."""
    there = touched(bundle, (c for c in bundle.architecture.active if c.method in METHODS))
    norms = [one for one in there if one.part == "norm"]
    maps = [one for one in there if one.part != "norm"]
    found = [
        Part("layernorm", "ln_tuning_layers.", norms, ("layernorm", "bitfit")),
        Part("lora", "lora_", [one for one in maps if one.A is not None], ("lora",)),
        Part("ia3", "ia3_", [one for one in maps if one.scale is not None], ("ia3",)),
        Part("bias", "beft_", [one for one in maps if one.bias is not None], ("bitfit",)),
    ]
    return [part for part in found if part.targets]


def write(bundle: Bundle, folder: Path) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` of every part.

    Raises:
        MissingError: PEFT is not installed.
    """
    every = parts(bundle)
    names = _names(every)
    for part, name in zip(every, names, strict=True):
        last = part is every[-1]
        _write_part(part, bundle, folder / name, bundle.head if last else {}, last)
    write_json(folder / ORDER, {"format": 1, "load_order": names})


def _names(every: list[Part]) -> list[str]:
    """Return the folders of the parts; ``"."`` for the only one."""
    return [part.name for part in every] if len(every) > 1 else ["."]


def _write_part(
    part: Part, bundle: Bundle, folder: Path, head: Mapping[str, Tensor], last: bool
) -> None:
    """Write one adapter; the last one of the chain brings the head and PEFT's task type."""
    config = config_of(part, bundle.backbone.model, last)
    config.base_model_name_or_path = bundle.architecture.model
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    named = {f"{t.path}.{k}": v for t in part.targets for k, v in _tensors(part.name, t).items()}
    tensors = {f"base_model.model.{k}": v.contiguous() for k, v in {**named, **head}.items()}
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def _tensors(name: str, target: Touched) -> dict[str, Tensor]:
    """Return PEFT's tensors of one module by PEFT's names."""
    if name == "layernorm":
        tuned = target.tuned_norm()
        return {f"ln_tuning_layers.{key}": tensor for key, tensor in tuned.items()}
    if name == "lora":
        assert target.A is not None
        assert target.B is not None
        return {"lora_A.weight": target.A, "lora_B.weight": target.B}
    if name == "ia3":
        assert target.scale is not None
        return {"ia3_l": target.scale[None, :] if target.on_input else target.scale[:, None]}
    assert target.bias is not None
    return {"beft_bias": target.bias[None, :]}


#: PEFT has no type for heads on images: its plain model takes them as they are.
_TASK_TYPES = {"sequence": "SEQ_CLS", "tokens": "TOKEN_CLS", "span": "QUESTION_ANS"}


def config_of(part: Part, model: Any, last: bool = True) -> Any:
    """Return PEFT's config of one part."""
    peft = _peft()
    paths = [target.path for target in part.targets]
    common: dict[str, Any] = {"target_modules": paths}
    heads = [prefix.rstrip(".") for prefix in head_prefixes(model)]
    # PEFT's class for this task hands on input_ids to a model that reads sounds too.
    if last and is_seq2seq(model) and model.main_input_name == "input_ids":
        common["task_type"] = "SEQ_2_SEQ_LM"
    elif last and is_decoder(model):
        common["task_type"] = "CAUSAL_LM"
    elif last and heads:
        common |= {"task_type": _TASK_TYPES.get(head_kind(model)), "modules_to_save": heads}
    if part.name == "layernorm":
        return peft.LNTuningConfig(**common)
    if part.name == "ia3":
        inner = [target.path for target in part.targets if target.on_input]
        stored = _stored_otherwise(part)
        return peft.IA3Config(feedforward_modules=inner, fan_in_fan_out=stored, **common)
    if part.name == "bias":
        return peft.BeftConfig(**common)
    return _lora(part, common)


def _lora(part: Part, common: dict[str, Any]) -> Any:
    least = min(target.rank for target in part.targets)
    others = {f"^{re.escape(t.path)}": t.rank for t in part.targets if t.rank != least}
    return _peft().LoraConfig(
        r=least,
        lora_alpha=_alpha(least),
        rank_pattern=others,
        alpha_pattern={path: _alpha(rank) for path, rank in others.items()},
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=_stored_otherwise(part),
        **common,
    )


def _stored_otherwise(part: Part) -> bool:
    """Whether the weights are stored as (D_in, D_out): GPT-2's all are, and no other family's."""
    return any(target.transposed for target in part.targets)


def _alpha(rank: int) -> float:
    """Return PEFT's alpha for our scale, which does not depend on the rank."""
    return SCALE * rank


def verify(bundle: Bundle, folder: Path) -> Evidence:
    """Load the folders one after the other with PEFT itself, ready to be trained on."""
    every = parts(bundle)
    with chained(bundle.backbone.model, [folder / name for name in _names(every)]) as model:
        found = logits_of(model, bundle.check_inputs)
        counts = _counts(every, model)
    entries = [_entry(part, counts[part.name]) for part in every]
    head = sum(tensor.numel() for tensor in bundle.head.values())
    entries.append(Entry("head", head, counts["head"]))
    return Evidence({"PeftModel.from_pretrained": found}, tuple(entries))


def _counts(every: list[Part], model: nn.Module) -> dict[str, int]:
    """Count what PEFT would train, by part; what belongs to none is counted with the head."""
    counts = dict.fromkeys([*(part.name for part in every), "head"], 0)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = [part.name for part in every if f".{part.mark}" in name]
            counts[own[0] if own else "head"] += parameter.numel()
    return counts


def _entry(part: Part, trained: int) -> Entry:
    """Say why PEFT trains another number at norms, if it is the number that is to be expected."""
    why = ""
    if part.name == "layernorm" and trained != part.num_params:
        expected = sum(p.numel() for t in part.targets for p in t.module.parameters())
        if trained == expected:
            why = "PEFT trains weight and bias of a norm together, and a bias once, not twice"
    return Entry(part.name, part.num_params, trained, why)


@contextmanager
def chained(model: Any, folders: list[Path]) -> Iterator[Any]:
    """Load adapters onto a model one after the other, and take them off at the end."""
    peft = _peft()
    before = [(module, dict(module._modules)) for module in model.modules()]
    loaded = base = model
    try:
        for folder in folders:
            with _quiet():
                loaded = peft.PeftModel.from_pretrained(base, str(folder), is_trainable=True)
            base = loaded.get_base_model()
        yield loaded
    finally:
        # PEFT's own unload() leaves a copy or a wrapper in the place of a head, or fails on it.
        for module, children in before:
            module._modules.clear()
            module._modules.update(children)
        vars(model).pop("peft_config", None)
        freeze(model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings about what is meant so: verification shows that it is right."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)
        for message in ("Unsupported layer type", "Already found a", "Detected that the base"):
            warnings.filterwarnings("ignore", message, UserWarning)
        yield


def snippet(bundle: Bundle, folder: Path) -> list[str]:
    """Return the lines that load the export with PEFT alone, to use it or to train on."""
    lines = ["from peft import PeftModel", *backbone_lines(bundle)]
    names = _names(parts(bundle))
    if len(names) == 1:
        return [*lines, f"model = PeftModel.from_pretrained(model, {str(folder)!r})"]
    whole = [str(folder / name) for name in names]
    return [
        *lines,
        f"for folder in {whole!r}:",
        "    adapted = PeftModel.from_pretrained(model, folder, is_trainable=True)",
        "    model = adapted.get_base_model()",
    ]


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingError("The package peft is not installed.", "pip install peft") from error
    return peft
