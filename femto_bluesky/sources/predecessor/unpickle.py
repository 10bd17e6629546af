"""Read pickles as data: plain values, numpy arrays, times and the predecessor's records.

A pickle is a program. Here it is never run: its instructions are taken apart by
`pickletools.genops` and a small machine builds values from those that describe data. A name in
the tables of `pickledvalues` has a constructor of ours behind it; every other name is refused,
and the refusal says it, before anything is called. Source of the instructions: the documentation
strings of the standard library's `pickletools`.
"""

from __future__ import annotations

import io
import pickletools
import uuid
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Any, Final, Protocol, cast

import numpy as np

from femto_bluesky.sources.predecessor.bytesource import LONGEST, SourceEndError
from femto_bluesky.sources.predecessor.pickledvalues import (
    CALLS,
    KNOWN,
    RECORDS,
    InternalWorkerMessage,
    Name,
    StreamData,
    UnpickleError,
    WorkParameter,
    checked_key,
    members,
    need,
    set_array,
    set_dtype,
)

__all__ = [
    "InternalWorkerMessage",
    "StreamData",
    "UnpickleError",
    "WorkParameter",
    "load",
    "loads",
]

MOST_INSTRUCTIONS: Final = 50_000
MARK: Final = object()


class Readable(Protocol):
    """What a pickle is read from."""

    def read(self, n: int, /) -> bytes:
        """Exactly the next `n` bytes."""
        ...

    def readline(self) -> bytes:
        """The bytes up to and with the next newline."""
        ...

    def tell(self) -> int:
        """The offset of the next byte."""
        ...


def loads(data: bytes, *, where: str) -> Any:
    """The value of one pickle. `where` names its place in the error messages.

    Raises `UnpickleError` where the pickle is damaged or names anything that is not plain data.
    """
    return load(_Bytes(data), where=where)


def load(source: Readable, *, where: str) -> Any:
    """The value of the pickle that begins where `source` stands; `source` ends up behind it.

    Raises `UnpickleError` with the offset of the instruction that could not be followed.
    """
    machine = _Machine()
    at = source.tell()
    try:
        for count, (opcode, argument, position) in enumerate(
            pickletools.genops(cast("IO[bytes]", source))
        ):
            at = at if position is None else position
            if count >= MOST_INSTRUCTIONS:
                raise UnpickleError(f"it has more than {MOST_INSTRUCTIONS} instructions")
            machine.follow(opcode.name, argument)
        return machine.result()
    except UnpickleError as error:
        raise UnpickleError(f"{where}: the pickle is refused at byte {at}: {error}") from error
    except (SourceEndError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UnpickleError(f"{where}: the pickle is damaged at byte {at}: {error}") from error
    except (OverflowError, MemoryError, RecursionError) as error:
        raise UnpickleError(f"{where}: the pickle asks for too much at byte {at}") from error


class _Bytes(io.BytesIO):
    """Bytes in memory that refuse a declared length beyond them before it is allocated."""

    def read(self, n: int | None = -1, /) -> bytes:
        if n is not None and n > LONGEST:
            raise SourceEndError(f"a string of {n} bytes is declared")
        return super().read(n)


class _Machine:
    """The stack and the memo of a pickle, with one short action per kind of instruction."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def result(self) -> Any:
        """The value that is left. Raises `UnpickleError` where it is not one value."""
        if len(self._stack) != 1 or isinstance(self._stack[0], Name) or self._stack[0] is MARK:
            raise UnpickleError("it does not end with one value")
        return self._stack[0]

    def follow(self, name: str, argument: Any) -> None:
        """Follow one instruction."""
        stack = self._stack
        if name in _PUSHES:
            stack.append(argument)
        elif name in _MAKES:
            stack.append(_MAKES[name]())
        elif name in ("PROTO", "FRAME", "STOP"):
            return
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "GLOBAL":
            # Protocols 0 to 2 write the name of Python 2 for this module.
            dotted = argument.replace(" ", ".", 1).replace("__builtin__.", "builtins.", 1)
            stack.append(self._named(dotted))
        else:
            step = _STEPS.get(name)
            if step is None:
                raise UnpickleError(f"the instruction {name} is not one that describes data")
            step(self)

    def _named(self, dotted: str) -> Name:
        if dotted not in KNOWN:
            raise UnpickleError(
                f"it names {dotted!r}, which is not plain data; nothing of it was run"
            )
        return Name(dotted)

    def _until_mark(self) -> list[Any]:
        stack = self._stack
        at = len(stack) - 1
        while stack[at] is not MARK:
            at -= 1
            if at < 0:
                raise UnpickleError("a mark is missing")
        values = stack[at + 1 :]
        del stack[at:]
        return values

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._named(f"{need(module, str)}.{need(name, str)}"))

    def _tuple(self, n: int) -> None:
        values = tuple(self._stack[-n:])
        if len(values) != n:
            raise UnpickleError("the stack is too short")
        self._stack[-n:] = [values]

    def _extend(self, values: list[Any]) -> None:
        need(self._stack[-1], list).extend(values)

    def _set_items(self, values: list[Any]) -> None:
        target = need(self._stack[-1], dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[checked_key(key)] = value

    def _dict(self, values: list[Any]) -> None:
        self._stack.append({})
        self._set_items(values)

    def _add_items(self, values: list[Any]) -> None:
        need(self._stack[-1], set).update(values)

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        need(arguments, tuple)
        dotted = need(function, Name).dotted
        if dotted not in CALLS:
            raise UnpickleError(f"it calls {dotted!r}, which is only read as a record")
        self._stack.append(CALLS[dotted](*arguments))

    def _new_object(self) -> None:
        arguments, kind = self._stack.pop(), self._stack.pop()
        dotted = need(kind, Name).dotted
        if dotted in RECORDS and arguments == ():
            self._stack.append(RECORDS[dotted]())
        elif dotted == "uuid.UUID" and arguments == ():
            self._stack.append(uuid.UUID(int=0))
        elif dotted in ("builtins.set", "builtins.frozenset", "collections.OrderedDict"):
            self._stack.append(CALLS[dotted](*need(arguments, tuple)))
        else:
            raise UnpickleError(f"it makes {dotted!r} from {len(arguments)} arguments")

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if isinstance(target, np.dtype):
            set_dtype(target, need(state, tuple))
        elif isinstance(target, np.ndarray):
            set_array(target, need(state, tuple))
        elif isinstance(target, uuid.UUID):
            object.__setattr__(target, "int", uuid.UUID(int=need(state, dict)["int"]).int)
        elif type(target) in RECORDS.values():
            # A pydantic model keeps its fields in the "__dict__" of its state.
            values = need(need(state, dict).get("__dict__", state), dict)
            for field in fields(target):
                if field.name in values:
                    object.__setattr__(target, field.name, values[field.name])
        else:
            raise UnpickleError(f"it sets the state of a {type(target).__name__}")

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        return self._stack.pop()


_PUSHES: Final = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT UNICODE SHORT_BINUNICODE "
    "BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8".split()
)
_MAKES: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "EMPTY_DICT": dict,
    "EMPTY_SET": set,
    "MARK": lambda: MARK,
}
# The machine's own parts; the table stands beside it so that an instruction is one look-up.
_STEPS: Final[dict[str, Callable[[Any], Any]]] = {
    "POP": lambda m: m._pop(),
    "POP_MARK": lambda m: m._until_mark(),
    "DUP": lambda m: m._push(m._stack[-1]),
    "STACK_GLOBAL": lambda m: m._stack_global(),
    "TUPLE": lambda m: m._push(tuple(m._until_mark())),
    "TUPLE1": lambda m: m._tuple(1),
    "TUPLE2": lambda m: m._tuple(2),
    "TUPLE3": lambda m: m._tuple(3),
    "LIST": lambda m: m._push(m._until_mark()),
    "DICT": lambda m: m._dict(m._until_mark()),
    "FROZENSET": lambda m: m._push(frozenset(members(m._until_mark()))),
    "APPEND": lambda m: m._extend([m._pop()]),
    "APPENDS": lambda m: m._extend(m._until_mark()),
    "SETITEM": lambda m: m._set_items([m._pop(), m._pop()][::-1]),
    "SETITEMS": lambda m: m._set_items(m._until_mark()),
    "ADDITEMS": lambda m: m._add_items(members(m._until_mark())),
    "REDUCE": lambda m: m._reduce(),
    "NEWOBJ": lambda m: m._new_object(),
    "BUILD": lambda m: m._build(),
}
