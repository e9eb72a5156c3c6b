"""Versions and devices, for ``manifest.json`` and for bug reports.

Torch-free to import; torch is looked at only when devices are asked for. No token, and no
password inside an address, is ever read out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

PACKAGES = (
    "peftsearch",
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "huggingface_hub",
    "safetensors",
    "peft",
    "numpy",
    "scipy",
    "scikit-learn",
    "optuna",
)
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages used; absent ones are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Return the machine: system, processor count, memory in bytes, accelerators.

    Imports torch when it is installed, which takes seconds.
    """
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cpus": cpu_count(),
        "memory_bytes": _memory_bytes(),
        "accelerators": _accelerators(),
    }


def hub(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return where models and data come from: address, cache folder, offline or not."""
    environ = os.environ if environ is None else environ
    home = environ.get("HF_HOME") or str(Path("~/.cache/huggingface").expanduser())
    return {
        "endpoint": without_secrets(environ.get("HF_ENDPOINT", "https://huggingface.co")),
        "home": home,
        "offline": any(
            environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in _OFFLINE
        ),
    }


def cpu_count() -> int:
    """Return how many processors this process may use, in a container not all of the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf.
        return None


def _accelerators() -> list[dict[str, Any]]:
    try:
        import torch
    except ImportError:
        return []
    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found.append(
            {
                "device": f"cuda:{index}",
                "name": properties.name,
                "memory_bytes": properties.total_memory,
            }
        )
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU", "memory_bytes": None})
    return found


def without_secrets(address: str) -> str:
    """Drop user name, password and query from an address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "not an address"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))
