"""Tiny models of images, and of images and texts, beside those of :mod:`tests.models`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers

#: Height and width of their images; two patches of 4 in each direction, four of 2.
SIZE = 8
VOCABULARY = 50


def _made(kind: str, config: str, settings: dict[str, Any]) -> Any:
    return getattr(transformers, kind)(getattr(transformers, config)(**settings))


def _vit(name: str, kind: str = "ForImageClassification", **own: Any) -> Callable[..., Any]:
    """Return the factory of a family with ViT's modules."""

    def make(width: int = 32, **more: Any) -> Any:
        settings: dict[str, Any] = {
            "hidden_size": width,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": width + 8,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            "image_size": SIZE,
            "patch_size": 4,
            "num_labels": 3,
        }
        return _made(f"{name}{kind}", f"{name}Config", {**settings, **own, **more})

    return make


def swin(width: int = 32, **more: Any) -> Any:
    """Two stages: windows of 2 on 4 x 4 patches, shifted in the second layer; then one window."""
    settings: dict[str, Any] = {
        "embed_dim": width,
        "depths": [2, 1],
        "num_heads": [4, 8],
        "mlp_ratio": 1.5,
        "window_size": 2,
        "image_size": SIZE,
        "patch_size": 2,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "drop_path_rate": 0.0,
        "num_labels": 3,
    }
    return _made("SwinForImageClassification", "SwinConfig", {**settings, **more})


def _towers(name: str, **own: Any) -> Callable[..., Any]:
    """Return the factory of a family with CLIP's modules; the tower of images is wider."""

    def make(width: int = 32, **more: Any) -> Any:
        common = {"num_attention_heads": 4, "attention_dropout": 0.0}
        settings: dict[str, Any] = {
            "text_config": {
                **common,
                "vocab_size": VOCABULARY,
                "hidden_size": width,
                "intermediate_size": width + 8,
                "num_hidden_layers": 2,
                "max_position_embeddings": 12,
                "pad_token_id": 0,
                "bos_token_id": 1,
                "eos_token_id": 2,
                **({"projection_size": width + 8} if name == "Siglip" else {}),
            },
            "vision_config": {
                **common,
                "hidden_size": width + 8,
                "intermediate_size": width + 16,
                "num_hidden_layers": 1,
                "image_size": SIZE,
                "patch_size": 4,
            },
        }
        return _made(f"{name}Model", f"{name}Config", {**settings, **own, **more})

    return make


def clip_classifier(width: int = 32, **more: Any) -> Any:
    """CLIP's tower of images with a head for labels."""
    config = VISION["clip"](width).config
    for key, value in {"num_labels": 3, **more}.items():
        setattr(config, key, value)
    return transformers.CLIPForImageClassification(config)


#: One of every structure.
VISION: dict[str, Callable[..., Any]] = {
    "vit": _vit("ViT"),
    "deit": _vit("DeiT", num_channels=1),
    "swin": swin,
    "clip": _towers("CLIP", projection_dim=20),
    "siglip": _towers("Siglip"),
}
#: Families whose modules are those of another one.
KIN: dict[str, Callable[..., Any]] = {
    "deit_distilled": _vit("DeiT", "ForImageClassificationWithTeacher"),
    "clip_classifier": clip_classifier,
}
