"""Tags: words on runs that belong together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tuiae.errors import ConfigError

_TAG = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def check_tags(tags: Sequence[str]) -> list[str]:
    """The tags, each once.

    Raises:
        ConfigError: a character that a tag does not take, or too many of them.
    """
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise ConfigError(f"tag {tag!r}: allowed: letters, digits, _ . : and -, at most 64", "choose another tag")
    return list(dict.fromkeys(tags))


def read_tags(meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The tags in a meta.json; what is no tag is passed over."""
    found = meta.get("tags")
    words = found if isinstance(found, list) else []
    return tuple(word for word in words if isinstance(word, str) and _TAG.fullmatch(word))
