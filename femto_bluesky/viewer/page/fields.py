"""What can be typed for a setting: its label, its text, and the value that a text stands for.

Made from the annotations of pydantic models. A text is always what somebody can read and type
again: the value of the text of a value is the value.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

UNITS: Final = {
    "adu": "ADU", "kev": "keV", "ev": "eV", "px": "px", "m": "m", "mm": "mm", "um": "um",
    "s": "s", "ms": "ms", "hz": "Hz", "deg": "deg",
}  # fmt: skip
"""Units as they stand at the end of a name, and as they are read."""

_UNIT_IN_WORDS: Final = re.compile(r"\bin (1/A|1/nm|keV|eV|deg|degrees|mm|um|px|pixels|s|ms|Hz)\b")

YES, NO = "yes", "no"


@dataclass(frozen=True, slots=True)
class Codec:
    """Text of values and values of texts. `options` are all texts that there are, if few.

    `is_wide` is what needs a line of its own, `is_list` one for each entry. What cannot be
    understood is handed on as it is: the model has the words for it.
    """

    text: Callable[[Any], str]
    value: Callable[[str], Any]
    options: tuple[str, ...] = ()
    is_wide: bool = False
    is_list: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """One setting in a form. Without a codec it can be read only.

    `place` leads from the model to the setting: a name, and more within models in models.
    `is_optional` is whether no text is None; `groups` are the places of the models around it that
    may be None.
    """

    place: tuple[str, ...]
    label: str
    tip: str
    codec: Codec | None
    is_optional: bool = False
    groups: tuple[tuple[str, ...], ...] = ()

    @property
    def css_name(self) -> str:
        """Its name in kebab case."""
        return "-".join(self.place).replace("_", "-").lower()

    def text(self, model: BaseModel) -> str:
        """What stands in the form for a model."""
        found: Any = model
        for name in self.place:
            if found is None:
                return ""
            found = getattr(found, name)
        if self.codec is None:
            return _shown(found)
        return "" if found is None else self.codec.text(found)

    def value(self, text: str) -> Any:
        """What a text stands for; anything where it stands for nothing."""
        if self.codec is None or (self.is_optional and not text.strip()):
            return None
        return self.codec.value(text)


def fields_of(
    model: type[BaseModel],
    leave_out: AbstractSet[str] = frozenset(),
    place: tuple[str, ...] = (),
    groups: tuple[tuple[str, ...], ...] = (),
) -> list[Field]:
    """The settings of a model in their order, those of models within it among them."""
    found: list[Field] = []
    for name, info in model.model_fields.items():
        if name in leave_out:
            continue
        annotation, is_optional = _without_none(info.annotation)
        here = (*place, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            within = (*groups, here) if is_optional else groups
            found += fields_of(annotation, frozenset(), here, within)
            continue
        codec = codec_of(annotation)
        if codec is not None and codec.options and is_optional:
            codec = Codec(codec.text, codec.value, ("", *codec.options))
        tip = tip_of(info, is_optional)
        label = _begun(" ".join([*(p.replace("_", " ") for p in place), label_of(name, info)]))
        found.append(Field(here, label, tip, codec, is_optional, groups))
    return found


def label_of(name: str, info: FieldInfo) -> str:
    """The name in words, with its unit: from its end, or from what the description says.

    >>> from pydantic.fields import FieldInfo
    >>> label_of("pixel_threshold_adu", FieldInfo())
    'pixel threshold [ADU]'
    >>> label_of("q_range", FieldInfo(description="first and last q in 1/A; None: all"))
    'q range [1/Å]'
    """
    words, _, end = name.rpartition("_")
    if words and end in UNITS:
        return f"{words.replace('_', ' ')} [{UNITS[end]}]"
    unit = _UNIT_IN_WORDS.search((info.description or "").partition(";")[0])
    return name.replace("_", " ") + (f" [{unit[1].replace('1/A', '1/Å')}]" if unit else "")


def tip_of(info: FieldInfo, is_optional: bool) -> str:
    """What a setting means, which values it takes and what it is by default."""
    told = [info.description or ""]
    limits = [
        f"{words} {value:g}"
        for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))
        for value in (getattr(entry, name, None) for entry in info.metadata)
        if isinstance(value, int | float)
    ]
    told.append(" and ".join(limits))
    if is_optional:
        told.append("empty: None")
    elif isinstance(info.default, str | int | float | Enum) and str(info.default):
        codec = codec_of(_without_none(info.annotation)[0])
        told.append(f"by default {codec.text(info.default) if codec else info.default}")
    return "; ".join(filter(None, told))


def codec_of(annotation: Any) -> Codec | None:
    """How values of a type are typed; None for what a form cannot edit."""
    annotation, _ = _without_none(annotation)
    if get_origin(annotation) is Literal:
        return _choice({_shown(value): value for value in get_args(annotation)})
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _choice({_shown(value.value): value for value in annotation})
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if not isinstance(origin, type) or not args:
        return None
    if issubclass(origin, Mapping):
        return _mapping(*(codec_of(arg) for arg in args))
    if issubclass(origin, tuple) or issubclass(origin, Sequence) or issubclass(origin, AbstractSet):
        inner = [codec_of(arg) for arg in args if arg is not Ellipsis]
        return _sequence(inner)
    return None


def _choice(values: Mapping[str, Any]) -> Codec:
    texts = {value: text for text, value in values.items()}
    return Codec(
        lambda value: texts.get(value, _shown(value)),
        lambda text: values.get(text, text),
        tuple(values),
    )


def _sequence(inner: Sequence[Codec | None]) -> Codec | None:
    """Entries with commas between them; numbers may also have spaces between them."""
    codecs = [c for c in inner if c is not None and (c.options or c in _SCALARS.values())]
    if not codecs or len(codecs) < len(inner):
        return None
    is_of_numbers = all(codec in _NUMBERS for codec in codecs)

    def text(values: Any) -> str:
        ordered = sorted(values) if isinstance(values, AbstractSet) else values
        return ", ".join(_at(codecs, i).text(value) for i, value in enumerate(ordered))

    def value(text: str) -> Any:
        inside = text.strip().strip("()[]")
        parts = re.split(r"[,;\s]+" if is_of_numbers else r"[,;]", inside)
        kept = [part.strip() for part in parts if part.strip()]
        return [_at(codecs, i).value(part) for i, part in enumerate(kept)]

    return Codec(text, value, is_wide=not is_of_numbers)


def _mapping(key: Codec | None, inner: Codec | None) -> Codec | None:
    """A line for each entry: its name, `=`, its value."""
    if key is None or inner is None or inner.is_list or key not in _SCALARS.values():
        return None

    def text(values: Mapping[Any, Any]) -> str:
        return "\n".join(f"{key.text(name)} = {inner.text(v)}" for name, v in values.items())

    def value(text: str) -> Any:
        found = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            name, equals, told = line.partition("=")
            if not equals:
                return line  # no mapping: the model says so
            found[key.value(name.strip())] = inner.value(told.strip())
        return found

    return Codec(text, value, is_wide=True, is_list=True)


def _begun(label: str) -> str:
    """A label with a capital, but for a symbol such as q."""
    return label if label[1:2] in ("", " ") else label[:1].upper() + label[1:]


def _at(codecs: Sequence[Codec], i: int) -> Codec:
    """That of an entry; entries past the last are as the last, for the model to refuse."""
    return codecs[min(i, len(codecs) - 1)]


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """A type without `None` and notes, and whether None was allowed."""
    if get_origin(annotation) is Annotated:
        return _without_none(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        left = [arg for arg in get_args(annotation) if arg is not type(None)]
        is_optional = len(left) < len(get_args(annotation))
        if len(left) == 1:
            return _without_none(left[0])[0], is_optional
        if set(left) == {int, float}:
            return float, is_optional
        return annotation, is_optional
    return annotation, False


def _float(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _int(text: str) -> Any:
    found = _float(text)
    try:
        return int(text)
    except ValueError:
        whole = isinstance(found, float) and found.is_integer() and abs(found) < 2**53
        return int(found) if whole else text


def _float_text(value: float) -> str:
    return repr(float(value)).removesuffix(".0")


def _shown(value: Any) -> str:
    """A value that is read only."""
    if value is None:
        return "none"
    if isinstance(value, BaseModel):
        inside = value.model_dump(exclude_defaults=True)
        return ", ".join(f"{name} {_shown(v)}" for name, v in inside.items()) or "as by default"
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_shown(v)}" for name, v in value.items()) or "none"
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(_shown, value)) or "none"
    return str(value)


_SCALARS: Final[dict[Any, Codec]] = {
    bool: Codec(
        lambda value: YES if value else NO,
        lambda text: {YES: True, NO: False}.get(text, text),
        (YES, NO),
    ),
    int: Codec(str, _int),
    float: Codec(_float_text, _float),
    str: Codec(str, str.strip),
    Path: Codec(str, lambda text: Path(text.strip()) if text.strip() else text, is_wide=True),
}
_NUMBERS: Final = (_SCALARS[int], _SCALARS[float])
