"""Load models, configs and what reads their rows: built in, from a folder, or from the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoImageProcessor,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForSpeechSeq2Seq,
    AutoModelForTokenClassification,
    AutoModelForZeroShotImageClassification,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.initialization import no_init_weights
from transformers.utils import logging

from peftsearch.backbones.base import (
    Backbone,
    head_parameters,
    head_prefixes,
    wrap,
)
from peftsearch.backbones.description import read_description
from peftsearch.backbones.quantised import others, settings
from peftsearch.catalogue import decoders
from peftsearch.errors import ConfigError, MissingError
from peftsearch.hub import hub_call
from peftsearch.micro import MODEL_DIRS

#: Class of a model by what its head answers for: the whole text, each token, a span, an image, or
#: whether an image and a text belong together.
HEADS: dict[str, type[Any]] = {
    "sequence": AutoModelForSequenceClassification,
    "tokens": AutoModelForTokenClassification,
    "span": AutoModelForQuestionAnswering,
    "image": AutoModelForImageClassification,
    "pair": AutoModelForZeroShotImageClassification,
    "speech": AutoModelForSpeechSeq2Seq,
}
#: What models answer with for such a head, where rows are not text alone: of any architecture.
_READ = {
    "image": "what it sees in images",
    "pair": "what it sees in images beside texts",
    "speech": "what it hears in sounds",
}
#: A model of each.
_EXAMPLES = {
    "image": "google/vit-base-patch16-224",
    "pair": "openai/clip-vit-base-patch32",
    "speech": "openai/whisper-small",
}
#: What reads these.
_READERS: dict[str, type[Any]] = {
    "image": AutoImageProcessor,
    "pair": AutoProcessor,
    "speech": AutoProcessor,
}


def source_of(name: str) -> str:
    """Return what transformers should load for a model name: a folder or a Hub id."""
    return str(MODEL_DIRS.get(name, name))


def load_config(name: str) -> Any:
    """Load a model's config.

    Raises:
        MissingError: The Hub or the folder does not have it.
        ConfigError: The folder holds no model.
    """
    source = source_of(name)
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise ConfigError(f'model "{name}" is a folder without config.json.')
    config = hub_call(source, lambda: AutoConfig.from_pretrained(source))
    if config.architectures is None:  # transformers iterates over it where a type has two classes
        config.architectures = []
    return config


def load_reader(name: str, head: str = "sequence") -> Any:
    """Load what reads rows for a model.

    Args:
        name: As for :func:`load_model`.
        head: Key of :data:`HEADS`: a tokenizer, for ``image`` an image processor, for ``pair`` and
            ``speech`` a processor that holds both. Images are computed with Pillow wherever that
            can be, so that pixels are the same with and without torchvision.

    Raises:
        MissingError: It is not there, or needs a package that is not installed.
    """
    source = source_of(name)
    if head in ("image", "pair"):
        return hub_call(source, lambda: _with_images(source, _READERS[head]))
    if head in _READERS:
        return hub_call(source, lambda: _READERS[head].from_pretrained(source))
    return hub_call(source, lambda: AutoTokenizer.from_pretrained(source))


def _with_images(source: str, cls: Any) -> Any:
    """Load an image processor, or a processor that holds one."""
    try:
        with quiet():
            return cls.from_pretrained(source, backend="pil")
    except ImportError as error:
        message = f'the image processor of "{source}" needs a package that is not installed.'
        raise MissingError(message, "pip install torchvision") from error


def _prepare(config: Any, num_labels: int, head: str) -> type[Any]:
    """Return the model class for a task, and write the number of labels into the config.

    Args:
        config: The model's config.
        num_labels: Labels of a classification; 1 for a regression. With 0 a decoder writes text
            by its own head; encoders, which need some head, get one for two labels.
        head: Key of :data:`HEADS`.
    """
    if head in _READ:
        config.num_labels = num_labels or 2
        return _able(HEADS[head], config, _READ[head])
    if config.is_encoder_decoder:
        return _able(AutoModelForSeq2SeqLM, config, "a text")
    alone = config.model_type in decoders()
    if alone and not num_labels:
        return _able(AutoModelForCausalLM, config, "a text")
    config.num_labels = num_labels or 2
    config.problem_type = "regression" if num_labels == 1 else "single_label_classification"
    if alone and config.pad_token_id is None:  # the head reads the last token that is no padding
        end = config.eos_token_id
        config.pad_token_id = end[0] if isinstance(end, list) else end
    return _able(HEADS[head], config, "labels")


def _able(cls: type[Any], config: Any, answer: str) -> type[Any]:
    """Return a class if transformers has one of its kind for this type of model."""
    if type(config) not in cls._model_mapping:
        message = f'Models of type "{config.model_type}" cannot answer with {answer}.'
        seen = type(config) in HEADS["image"]._model_mapping and cls is not HEADS["image"]
        hint = "They read images: --task image-classification --data DIR." if seen else ""
        if type(config) in HEADS["speech"]._model_mapping and cls is not HEADS["speech"]:
            hint = "They read sounds: --task speech-recognition --data DIR."
        example = next((_EXAMPLES.get(head) for head in HEADS if HEADS[head] is cls), None)
        if example is not None:
            hint = f"Give another model, e.g. --model {example}."
        raise ConfigError(message, hint or f"transformers has no {cls.__name__} for them.")
    return cls


def load_backbone(
    name: str,
    num_labels: int,
    precision: str = "fp32",
    *,
    head: str = "sequence",
    description: str | None = None,
    dropout: float | None = None,
    load_in: str | None = None,
    device: torch.device | None = None,
) -> Backbone:
    """Load weights and what reads rows, freeze the model, find its sites.

    Args:
        name: As for :func:`load_model`, and so are the next three.
        num_labels: Labels of the task.
        precision: Of the frozen weights.
        head: What it answers for.
        description: A backbone description in YAML, where the sites are not to be found otherwise.
        dropout: As for :func:`load_model`, and so are the next two.
        load_in: How the frozen linear maps are kept.
        device: Where they are loaded to.
    """
    read = None if description is None else read_description(description)
    model = load_model(
        name, num_labels, precision, head=head, dropout=dropout, load_in=load_in, device=device
    )
    backbone = wrap(name, model, load_reader(name, head), read)
    backbone.reset_head(0)
    return backbone


def load_model(
    name: str,
    num_labels: int,
    precision: str = "fp32",
    *,
    head: str = "sequence",
    dropout: float | None = None,
    load_in: str | None = None,
    device: torch.device | None = None,
) -> Any:
    """Load a model for a task, without what reads its rows.

    Args:
        name: A built-in model (see :data:`peftsearch.micro.MODEL_DIRS`), a folder, or a Hub id.
        num_labels: Labels of the task; 1 for a regression, 0 for a decoder that writes text.
            Ignored by encoder-decoders.
        precision: ``fp32`` or ``bf16`` for the frozen weights; a head stays fp32.
        head: Key of :data:`HEADS`. Ignored by encoder-decoders.
        dropout: Every dropout rate of the model, in [0, 1); ``None``: its own.
        load_in: ``8bit`` or ``4bit`` for the frozen linear maps; ``None``: as the others.
        device: Where to load to, if they are quantised; else the model stays in host memory.
    """
    config = load_config(name)
    _set_dropout(config, dropout)
    cls = _prepare(config, num_labels, head)
    source, dtype = source_of(name), _dtype(precision)
    more: dict[str, Any] = {}
    if load_in is not None:
        with torch.device("meta"), no_init_weights():
            sketch = cls.from_config(config, dtype=dtype)
            sketch.tie_weights()
        kept = others(sketch, head_prefixes(sketch))
        more = settings(load_in, dtype, device or torch.device("cpu"), kept)
    with quiet():
        model, report = hub_call(
            source,
            lambda: cls.from_pretrained(
                source,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # a head for other labels is drawn anew
                **more,
            ),
        )
    mismatched = (key for key, *_ in report["mismatched_keys"])
    _check_complete(name, model, (*report["missing_keys"], *mismatched))
    in_full(model)
    return model


def _check_complete(name: str, model: Any, missing: Iterable[str]) -> None:
    """Refuse a checkpoint without some weights, or of other shapes: they would stay random."""
    absent = sorted(key for key in missing if not key.startswith(head_prefixes(model)))
    if absent:
        some = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        raise ConfigError(
            f'model "{name}" has no weights for {some}, and they would stay random.',
            "Take another checkpoint, or fix the random ones once and give --model DIR:\n"
            "  python -c 'import torch, transformers; torch.manual_seed(0); "
            f'm = "{name}"; transformers.AutoModel.from_pretrained(m).save_pretrained("DIR"); '
            'transformers.AutoTokenizer.from_pretrained(m).save_pretrained("DIR")\'',
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' bars and reports, such as that the head is new: the run draws it."""
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def sketch_backbone(
    name: str,
    num_labels: int,
    *,
    head: str = "sequence",
    description: str | None = None,
    device: str = "meta",
    precision: str = "fp32",
    dropout: float | None = None,
) -> Backbone:
    """Build the model from its config alone: every count, no weights.

    Args:
        name: As for :func:`load_backbone`, and so are the others.
        num_labels: Labels of the task.
        head: What it answers for.
        description: A backbone description.
        device: ``meta``, or another within a mode that allocates nothing.
        precision: Of the frozen weights.
        dropout: Every dropout rate of the model.
    """
    read = None if description is None else read_description(description)
    config = load_config(name)
    _set_dropout(config, dropout)
    cls = _prepare(config, num_labels, head)
    with torch.device(device), no_init_weights():
        model = cls.from_config(config, dtype=_dtype(precision))
        model.tie_weights()
    in_full(model)
    return wrap(name, model, description=read)


def _dtype(precision: str) -> torch.dtype:
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _set_dropout(config: Any, rate: float | None) -> None:
    """Set every dropout rate of a config, if one is given."""
    if rate is None:
        return
    for key, value in vars(config).items():
        dropped = "dropout" in key or key.endswith("pdrop") or key == "drop_path_rate"
        if dropped and isinstance(value, float | int):
            setattr(config, key, rate)


def in_full(model: Any) -> None:
    """Keep the head in float32: it is trained, so never in half precision."""
    for _, parameter in head_parameters(model):
        if parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()
