"""What is registered: methods, spaces, models and exporters, by name and without torch.

A method is one file in ``peftsearch/methods`` with a literal ``METHOD = {...}`` at its top. The
literal is read from the source text, so that ``peftsearch list`` answers without importing
torch; the classes of the same file are imported when a stage runs.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peftsearch.errors import ConfigError
from peftsearch.nearest import did_you_mean
from peftsearch.space import MethodFacts

_PACKAGE = Path(__file__).parent
_METHOD_KEYS = {
    "name",
    "title",
    "order",
    "modules",
    "sized",
    "learning_rate",
    "identity_at_start",
    "reference",
}


@dataclass(frozen=True)
class MethodCard(MethodFacts):
    """All declared facts of a method.

    Attributes:
        title: A few words for tables.
        order: Place in the fixed order of composition where methods meet on one module, and
            in every figure; lower is applied first.
        learning_rate: Default AdamW rate of its parameters.
        identity_at_start: ``""`` if a fresh layer leaves the backbone's output unchanged, else
            the reason why it does not.
        reference: The paper, and how this implementation differs.
        source: Dotted module that holds the layer classes.
    """

    title: str = ""
    order: int = 0
    learning_rate: float = 1e-3
    identity_at_start: str = ""
    reference: str = ""
    source: str = ""


@cache
def method_facts() -> dict[str, MethodCard]:
    """Return every registered method by name, in the order of composition, without torch."""
    cards = [_read_card(path) for path in sorted((_PACKAGE / "methods").glob("[a-z]*.py"))]
    for entry in entry_points(group="peftsearch.methods"):
        spec = find_spec(entry.value)
        if spec is None or spec.origin is None:
            raise ConfigError(f'The plug-in method "{entry.name}" ({entry.value}) has no source.')
        cards.append(_read_card(Path(spec.origin), entry.value))
    found = [card for card in cards if card is not None]
    return {card.name: card for card in sorted(found, key=lambda card: card.order)}


def _read_card(path: Path, source: str = "") -> MethodCard | None:
    """Read the literal ``METHOD`` of a file; ``None`` for a file that holds no method."""
    facts: dict[str, Any] | None = _literal(path, "METHOD")
    if facts is None:
        return None
    if set(facts) != _METHOD_KEYS:
        wrong = ", ".join(sorted(set(facts) ^ _METHOD_KEYS))
        raise ConfigError(f"{path.name}: METHOD has missing or unknown keys: {wrong}.")
    return MethodCard(**facts, source=source or f"peftsearch.methods.{path.stem}")


def _literal(path: Path, name: str) -> Any:
    """Return the value of a literal at the top of a file; ``None`` if it is not there."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [t.id for t in getattr(node, "targets", []) if isinstance(t, ast.Name)]
        if isinstance(node, ast.Assign) and names == [name]:
            return ast.literal_eval(node.value)
    return None


def method_order(name: str) -> int:
    """Place of a method in the order of composition; unknown ones come last."""
    card = method_facts().get(name)
    return card.order if card else 10**6


def spaces() -> dict[str, Path]:
    """Return the shipped search spaces by name."""
    folder = _PACKAGE / "search_spaces"
    if not folder.is_dir():  # a source checkout keeps them at the top level
        folder = _PACKAGE.parent / "search_spaces"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def schemas() -> dict[str, Path]:
    """Return the published JSON schemas by the name of the file that they describe."""
    return {path.stem: path for path in sorted((_PACKAGE / "schemas").glob("*.json"))}


def space_path(name: str) -> Path:
    """Find a shipped space by name, or a YAML file by path.

    Raises:
        ConfigError: Neither exists.
    """
    if name in spaces():
        return spaces()[name]
    if Path(name).suffix in {".yaml", ".yml"}:
        if Path(name).is_file():
            return Path(name)
        raise ConfigError(f'space "{name}" does not exist.', "peftsearch list spaces")
    hint = f"{did_you_mean(name, spaces())} peftsearch list spaces"
    raise ConfigError(f'space "{name}" is not known.', hint)


def models() -> dict[str, str]:
    """Return the built-in models and the supported families, each with a line of explanation."""
    return {
        "micro-t5": "built in, no download: a small T5 pretrained by this project",
        "micro-bert": "built in, no download: a small BERT pretrained by this project",
        "t5": "T5, T5 v1.1, Flan-T5, mT5, umT5, ByT5, LongT5: any Hub id or folder",
        "bart": "BART, mBART, Pegasus, Marian, M2M-100 and NLLB, BlenderBot, PLBART: likewise",
        "whisper": "Whisper, for speech recognition: likewise",
        "bert": "BERT, RoBERTa, XLM-R, CamemBERT, ELECTRA, ERNIE, data2vec, RoCBert: likewise",
        "distilbert": "DistilBERT: likewise",
        "albert": "ALBERT, whose shared layers count once: likewise",
        "deberta": "DeBERTa, DeBERTa-v2 and -v3, without prefixes: likewise",
        "modernbert": "ModernBERT: likewise",
        "gpt2": "GPT-2, DistilGPT-2: likewise",
        "opt": "OPT: likewise",
        "llama": "Llama 1-3, SmolLM and what else has its layers; Mistral, Qwen2 and 3: likewise",
        "gemma": "Gemma, Gemma 2, Gemma 3 of text alone (270m, 1b): likewise",
        "phi": "Phi-1 to Phi-2: likewise",
        "phi3": "Phi-3 and Phi-3.5: likewise",
        "mixtral": "Mixtral and OLMoE, without their experts: likewise",
        "vit": "images: ViT, DeiT: likewise",
        "swin": "images: Swin: likewise",
        "clip": "images and texts: CLIP, SigLIP, each tower a stack: likewise",
        "others": "inspected, or described with --backbone FILE.yaml (docs/backbones.md)",
    }


@dataclass(frozen=True)
class StrategyCard:
    """The declared facts of a strategy.

    Attributes:
        name: As typed after ``--strategy``.
        title: A few words for tables.
        reference: The paper, and how this implementation differs.
        source: Dotted module that holds it.
    """

    name: str
    title: str
    reference: str
    source: str


@cache
def strategies() -> dict[str, StrategyCard]:
    """Return the search strategies by name, without torch; the default comes first.

    A strategy is one file in ``peftsearch/strategies`` with a literal ``STRATEGY``, or a module
    named by an entry point of the group ``peftsearch.strategies``.
    """
    sources = _sources("strategies", "strategy")
    found = {}
    for source, path in sources.items():
        facts = _literal(path, "STRATEGY")
        if facts is not None:
            found[facts["name"]] = StrategyCard(source=source, **facts)
    first = {"priced": found.pop("priced")}
    return first | found


@dataclass(frozen=True)
class ExporterCard:
    """The declared facts of an exporter.

    Attributes:
        name: As typed after ``--to``.
        title: A few words for tables.
        holds: What the target can hold: by method, or by ``method.part`` for one part of a
            layer, ``""`` if it can and else the reason why not; or a mapping of this by the
            backbone's ``model_type``, with ``"encoders"``, ``"encoder-decoders"``, ``"decoders"``
            and ``"*"`` for all that are not named.
        otherwise: The reason for methods, and model types, that ``holds`` does not name.
        source: Dotted module that holds the functions.
    """

    name: str
    title: str
    holds: Mapping[str, str | Mapping[str, str]]
    otherwise: str
    source: str

    def reason(self, method: str, part: str, family: str) -> str:
        """Return why a method cannot be held at a part of a layer; ``""`` if it can.

        Args:
            method: Name of a method.
            part: Part of a layer, see :data:`peftsearch.site.PARTS`.
            family: The backbone's ``model_type``.
        """
        for key in (f"{method}.{part}", method):
            if key in self.holds:
                entry = self.holds[key]
                if isinstance(entry, str):
                    return entry
                names = (family, architecture_of(family), "*")
                return next((entry[name] for name in names if name in entry), self.otherwise)
        return self.otherwise


_EXPORTER_KEYS = {"name", "title", "holds", "otherwise"}


@cache
def exporters() -> dict[str, ExporterCard]:
    """Return the export targets by name, without torch; the package's own format comes first.

    A target is one file in ``peftsearch/export`` with a literal ``EXPORTER``, or a module named
    by an entry point of the group ``peftsearch.exporters``. In its ``holds``, what is the same for
    several methods or types of models is said once, behind all of their names.

    Raises:
        ConfigError: A plug-in has no source, or a literal is not complete.
    """
    sources = _sources("export", "exporter", "exporters")
    found = {}
    for source, path in sources.items():
        facts = _literal(path, "EXPORTER")
        if facts is None:
            continue
        if not isinstance(facts, dict) or set(facts) != _EXPORTER_KEYS:
            wrong = ", ".join(sorted(set(facts) ^ _EXPORTER_KEYS))
            raise ConfigError(f"{path.name}: EXPORTER has missing or unknown keys: {wrong}.")
        holds = {name: _each(entry) for name, entry in _each(facts["holds"]).items()}
        found[facts["name"]] = ExporterCard(source=source, **{**facts, "holds": holds})
    first = {"native": found.pop("native")}
    return first | found


def _each(entry: Any) -> Any:
    """Give each of several names, with blanks between them, what is said of them together."""
    if not isinstance(entry, dict):
        return entry
    return {name: value for names, value in entry.items() for name in names.split()}


def _sources(folder: str, kind: str, group: str = "") -> dict[str, Path]:
    """Return the files of a kind of plug-in by dotted module: the package's, then others'."""
    found = {
        f"peftsearch.{folder}.{path.stem}": path
        for path in sorted((_PACKAGE / folder).glob("[a-z]*.py"))
    }
    for entry in entry_points(group=f"peftsearch.{group or folder}"):
        spec = find_spec(entry.value)
        if spec is None or spec.origin is None:
            raise ConfigError(f'The plug-in {kind} "{entry.name}" ({entry.value}) has no source.')
        found[entry.value] = Path(spec.origin)
    return found


@cache
def families() -> dict[str, str]:
    """Return the file name of the backbone family by transformers ``model_type``, without torch."""
    found: dict[str, str] = {}
    for path in sorted((_PACKAGE / "backbones").glob("[a-z]*.py")):
        types = _literal(path, "MODEL_TYPES")
        found.update(dict.fromkeys(types or (), path.stem))
    return found


@cache
def decoders() -> frozenset[str]:
    """Return the ``model_type`` of every decoder-only family: files with ``DECODER = True``."""
    return _marked("DECODER")


def architecture_of(model_type: str) -> str:
    """Return ``encoders``, ``encoder-decoders`` or ``decoders``; ``""`` for an unknown type."""
    if model_type in decoders():
        return "decoders"
    if model_type in _marked("ENCODER_DECODER"):
        return "encoder-decoders"
    return "encoders" if model_type in families() else ""


@cache
def _marked(name: str) -> frozenset[str]:
    """Return the model types of the family files that have a literal which is true."""
    files = sorted((_PACKAGE / "backbones").glob("[a-z]*.py"))
    found = [path for path in files if _literal(path, name)]
    return frozenset(kind for path in found for kind in _literal(path, "MODEL_TYPES"))
