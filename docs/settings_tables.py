"""A Sphinx extension: the fields of a pydantic model as a table under the docstring of its class.

The descriptions, defaults and limits of a setting stand once, in its `Field(...)`; the reference
shows these instead of a second account that could differ.
"""

from __future__ import annotations

from typing import Any

import annotated_types
import pydantic
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation

LIMITS = (
    (annotated_types.Gt, "above", "gt"),
    (annotated_types.Ge, "at least", "ge"),
    (annotated_types.Lt, "below", "lt"),
    (annotated_types.Le, "at most", "le"),
    (annotated_types.MinLen, "length at least", "min_length"),
    (annotated_types.MaxLen, "length at most", "max_length"),
)


def table(model: type[pydantic.BaseModel]) -> list[str]:
    """The lines of a reStructuredText table: field, type, default and limits, meaning."""
    lines = ["", ".. list-table::", "   :header-rows: 1", "   :widths: auto", ""]
    rows = [("field", "type", "default", "meaning")]
    for name, info in model.model_fields.items():
        kind = stringify_annotation(info.annotation, "smart").replace("~", "")
        meaning = "; ".join(text for text in (info.description or "", *limits(info)) if text)
        rows.append((f"``{name}``", f"``{kind}``", default(info), meaning))
    for row in rows:
        for cell, mark in zip(row, ("* -", "  -", "  -", "  -"), strict=True):
            lines.append(f"   {mark} {' '.join(cell.split())}")
    return [*lines, ""]


def default(info: FieldInfo) -> str:
    """The default of a field as it is written, or that it has to be given."""
    if info.is_required():
        return "required"
    if info.default is PydanticUndefined:
        return f"``{info.get_default(call_default_factory=True)!r}``"
    return f"``{info.default!r}``"


def limits(info: FieldInfo) -> list[str]:
    """The limits of a field in words: "at least 0"."""
    return [
        f"{words} {getattr(limit, attribute)}"
        for limit in info.metadata
        for kind, words, attribute in LIMITS
        if isinstance(limit, kind)
    ]


def is_model(value: object) -> bool:
    """Whether a documented object is a pydantic model."""
    return isinstance(value, type) and issubclass(value, pydantic.BaseModel)


def add_table(
    app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]
) -> None:
    """Append the table to the docstring of a model that has fields."""
    if is_model(obj) and obj.model_fields:
        lines.extend(table(obj))


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: Any, signature: str | None, result: Any
) -> tuple[str, Any] | None:
    """Write a model as it is called; types and limits stand in its table."""
    if not is_model(obj):
        return None
    fields = [
        field if info.is_required() else f"{field}={info.get_default(call_default_factory=True)!r}"
        for field, info in obj.model_fields.items()
    ]
    return f"({', '.join(['*', *fields])})" if fields else "()", result


def skip(app: Sphinx, what: str, name: str, obj: object, skipped: bool, options: Any) -> bool:
    """Leave pydantic's own configuration out."""
    return skipped or name in ("model_config", "model_post_init")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect to Sphinx."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", add_table)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
