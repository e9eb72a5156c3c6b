"""The model card: what is told of an export where others find it. Pure text, from the run's files.

:func:`model_card` makes a ``README.md`` of the Hub: YAML front matter, then Markdown. Nothing is
read or written here, and whatever a user, a task or a library brought in is escaped.
"""

from __future__ import annotations

from peftsearch.card.content import CardFacts, model_card

__all__ = ["CardFacts", "model_card"]
