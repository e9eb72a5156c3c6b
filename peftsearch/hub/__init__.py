"""The Hugging Face Hub, so that every failure ends within seconds in one clear sentence.

The clients retry for minutes when the Hub is down or slow, and their last error often names
something else. :func:`hub_call` asks for one small file first, watches the client while the real
loader works, and turns whatever comes out into a :class:`peftsearch.errors.MissingError`. A full
cache still serves when the Hub does not.

Importing this package is cheap; ``huggingface_hub`` and ``datasets`` are imported when used.
"""

from __future__ import annotations

from peftsearch.hub.calls import hub_call, hub_errors, hub_timeout, load_rows

__all__ = ["hub_call", "hub_errors", "hub_timeout", "load_rows"]
