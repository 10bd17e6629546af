"""The scripts and styles of the page, which stand in files beside its modules."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def asset(name: str) -> str:
    """What stands in a file, whatever the language of the machine."""
    return (files("femto_bluesky.viewer.page") / name).read_text(encoding="utf-8")
