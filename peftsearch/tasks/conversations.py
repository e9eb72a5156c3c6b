"""Conversations as rows hold them: checked, and as one text, so that equal ones are the same."""

from __future__ import annotations

import json
from typing import Any

from peftsearch.errors import ConfigError

ROLES = ("system", "user", "assistant")
ASSISTANT = "assistant"


def conversation(value: Any, where: str) -> str:
    """Check a list of messages, and return it as JSON.

    Args:
        value: What the row holds: objects with ``role`` and ``content``, in order.
        where: The row, for messages.

    Raises:
        ConfigError: It is no conversation, or the assistant says nothing in it.
    """
    if not isinstance(value, list) or not value:
        raise ConfigError(
            f'{where}: "messages" is {value!r:.40}, not a list of messages.',
            'Write [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}].',
        )
    found = [_message(each, number, where) for number, each in enumerate(value, 1)]
    if not any(each["role"] == ASSISTANT for each in found):
        raise ConfigError(f"{where}: the assistant says nothing, so there is nothing to learn.")
    return json.dumps(found, ensure_ascii=False)


def _message(value: Any, number: int, where: str) -> dict[str, str]:
    place = f"{where}: message {number}"
    if not isinstance(value, dict):
        raise ConfigError(f"{place} is {value!r:.40}, not an object with role and content.")
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise ConfigError(f"{place} has the role {role!r}.", f"Known: {', '.join(ROLES)}.")
    if not isinstance(content, str) or not content.strip():
        raise ConfigError(f"{place} has the content {content!r:.40}, not a text.")
    return {"role": role, "content": content}
