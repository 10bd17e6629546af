"""Text files that people write, JSON or YAML, as plain data: a few bytes cannot become many."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import yaml

MOST_BYTES: Final = 1 << 20
"""Settings are a few hundred bytes: anything larger is another file."""

MOST_YAML: Final = 1 << 16
"""Characters of YAML, which takes much longer to read than JSON."""

DEEPEST: Final = 50
"""How deep lists and mappings in YAML may be nested: what is deeper takes very long to read."""

# the one of libyaml, where it is there, is ten times faster
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TextFormatError(ValueError):
    """A text that is not read; the message says why."""


def parse_json(text: str) -> Any:
    """The value of a JSON text. Raises `TextFormatError`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TextFormatError(f"no JSON: {error}") from error


def parse_yaml(text: str) -> Any:
    """The value of a YAML text of plain data. Raises `TextFormatError`.

    Aliases are refused: with them, a hundred characters are a list of any length.
    """
    if len(text) > MOST_YAML:
        raise TextFormatError(
            f"{len(text)} characters of YAML, at most {MOST_YAML} are read; write it as JSON"
        )
    try:
        _check(yaml.parse(text, _LOADER))
        return yaml.load(text, _LOADER)  # noqa: S506 - either one is a safe loader
    except (ArithmeticError, AttributeError, TypeError, RecursionError, yaml.YAMLError) as error:
        # what PyYAML makes of numbers and times that are none
        raise TextFormatError(f"no YAML: {error}") from error
    except TextFormatError:
        raise
    except (ValueError, LookupError) as error:
        raise TextFormatError(f"no YAML: {error}") from error


def _check(events: Iterable[Any]) -> None:
    depth = 0
    for event in events:
        if isinstance(event, yaml.AliasEvent):
            raise TextFormatError("it has an alias (*name); write the value itself in its place")
        is_begin = isinstance(event, yaml.CollectionStartEvent)
        depth += is_begin - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise TextFormatError(f"its lists and mappings are nested more than {DEEPEST} deep")


def parse(text: str) -> Any:
    """The value of a JSON text, or else of a YAML one. Raises `TextFormatError`."""
    try:
        return parse_json(text)
    except TextFormatError:
        return parse_yaml(text)
