"""The laws of an analysis, checked on shots; one test of a new analysis calls `assert_laws`.

An analysis is a mergeable fold over shots (`femto_bluesky.stream.analysis`). That it may be cut
among workers, resumed, taken back and cleared without a changed bit is what live running, replay
and a cluster rely on, so here everything is compared with ``==``, NaN being equal to NaN.
"""

from __future__ import annotations

import dataclasses
import itertools
import pickle
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from femto_bluesky.model.outputs import Output
from femto_bluesky.model.shots import DenseFrame, Shot
from femto_bluesky.stream.analysis import Analysis, Row
from femto_bluesky.testing.documents import difference

Maker = Callable[[], Analysis]
"""Gives a new analysis with the settings that are to be checked, that has seen nothing."""


def assert_laws(
    analysis: Analysis | Maker, shots: Sequence[Shot], *, laws: Collection[str] | None = None
) -> None:
    """Raise `AssertionError`, with the place of the difference, unless an analysis keeps its laws.

    `analysis` is left as it is: copies from its `fresh()` are tried (or from a function that makes
    them). `shots` are raw, with frames that are independent `DenseFrame`s; those of
    `femto_bluesky.testing.shots.make_shots` are, best of two runs. `laws` are names
    out of `LAWS` (None: all); leave one out only where the analysis says why it cannot keep it.

    An analysis of one detector at a time is given shots of one, or told which one.

    >>> from femto_bluesky.callbacks import Accumulation
    >>> from femto_bluesky.testing.shots import make_shots
    >>> assert_laws(Accumulation(), make_shots(("pilatus",), runs=("run-1", "run-2")))
    """
    unknown = set(laws or ()) - LAWS.keys()
    if unknown:
        raise ValueError(f"there are no laws {sorted(unknown)}; there are {sorted(LAWS)}")
    if not shots:
        raise ValueError(
            "no shots, and they would prove nothing; femto_bluesky.testing.shots makes some"
        )
    make = analysis.fresh if isinstance(analysis, Analysis) else analysis
    for name, law in LAWS.items():
        if laws is None or name in laws:
            # copies: an analysis that changes what it is given must not spoil the next law
            law(make, [_copied(shot) for shot in shots])


# --- what is compared -------------------------------------------------------------------------


def given_out(analysis: Analysis, shots: Sequence[Shot]) -> dict[str, Any]:
    """All that an analysis gives out about these shots, in plain containers for `difference`.

    That is its result, the rows of all shots, steps and runs, and its groups by their paths: the
    order in which groups are listed is no content. It shares no memory with the analysis' results.
    Raises `AssertionError` where a group does not fit together, or two have one path.
    """
    groups = analysis.groups()
    for group in groups:
        group.check()
    paths = [group.path for group in groups]
    assert len(paths) == len(set(paths)), f"groups have one path: {paths}"
    numbers = dict.fromkeys((shot.run, shot.number) for shot in shots)
    steps = dict.fromkeys((shot.run, shot.step) for shot in shots)
    runs = dict.fromkeys(shot.run for shot in shots)
    found = {
        "result": analysis.result(),
        "shot_row": {f"{run}, {number}": analysis.shot_row(run, number) for run, number in numbers},
        "step_row": {f"{run}, {step}": analysis.step_row(run, step) for run, step in steps},
        "step_rows": {f"{run}, {step}": analysis.step_rows(run, step) for run, step in steps},
        "run_rows": {run: analysis.run_rows(run) for run in runs},
        "groups": {group.path: group for group in groups},
    }
    return {name: plain_parts(value) for name, value in found.items()}


def plain_parts(value: Any) -> Any:
    """A value with its dataclasses and mappings as dicts, and its arrays copied."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {"type": type(value).__name__} | {n: plain_parts(getattr(value, n)) for n in names}
    if isinstance(value, Mapping):
        return {key: plain_parts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_parts(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain_parts(item) for item in value)
    return value.copy() if isinstance(value, np.ndarray) else value


def seen_by(analysis: Analysis, shots: Sequence[Shot]) -> Analysis:
    """The analysis, after it has seen the shots in their order."""
    for shot in shots:
        analysis.update(shot)
    return analysis


def _assert_same(law: str, analysis: Analysis, expected: Any, found: Any) -> None:
    where = difference(expected, found, "given_out")
    assert where is None, f"{type(analysis).__name__}: {law}: {where}"


# --- the laws ---------------------------------------------------------------------------------


def check_parts(
    make: Maker, shots: Sequence[Shot], part_of: Sequence[int], order: Sequence[int]
) -> None:
    """Raise `AssertionError` unless parts that are merged equal one analysis that saw all shots.

    `part_of` says which part sees each shot, and `order` in which order the parts are merged: all
    into the first one, all into a new one, and two by two as a cluster does. Nor may a part change
    what it has been merged into when it goes on.
    """
    expected = given_out(seen_by(make(), shots), shots)

    def parts() -> list[Analysis]:
        shares = [[s for s, p in zip(shots, part_of, strict=True) if p == part] for part in order]
        return [seen_by(make(), share) for share in shares]

    ways: Mapping[str, Callable[[list[Analysis]], Analysis]] = {
        "into the first": lambda all_parts: _merged(all_parts[0], all_parts[1:]),
        "into a new one": lambda all_parts: _merged(make(), all_parts),
        "two by two": _merged_in_pairs,
    }
    for way, merge in ways.items():
        found = parts()
        merged = merge(found)
        law = f"shots cut into the parts {list(part_of)}, merged in the order {list(order)}, {way}"
        _assert_same(law, merged, expected, given_out(merged, shots))
        for part in found:
            if part is not merged:
                seen_by(part, shots[:1]).clear()
        law = "what was merged changes with the part that it came from"
        _assert_same(law, merged, expected, given_out(merged, shots))


def _merged(into: Analysis, parts: Sequence[Analysis]) -> Analysis:
    for part in parts:
        into.merge(part)
    return into


def _merged_in_pairs(parts: list[Analysis]) -> Analysis:
    while len(parts) > 1:
        parts = [_merged(pair[0], pair[1:]) for pair in _pairs(parts)]
    return parts[0]


def _pairs(parts: list[Analysis]) -> Iterator[list[Analysis]]:
    for start in range(0, len(parts), 2):
        yield parts[start : start + 2]


def check_merging(make: Maker, shots: Sequence[Shot]) -> None:
    """Split-and-merge equals straight: halves, one shot each, dealt out, and by chance."""
    n = len(shots)
    rng = np.random.default_rng(n)
    check_parts(make, shots, [0] * n, [0])
    check_parts(make, shots, [0] * n, [1, 0, 2])  # parts that saw nothing
    check_parts(make, shots, [int(2 * i >= n) for i in range(n)], [1, 0])
    check_parts(make, shots, list(range(n)), list(reversed(range(n))))
    check_parts(make, shots, [i % 3 for i in range(n)], [1, 2, 0])
    for n_parts in (2, 5):
        part_of = rng.integers(n_parts, size=n).tolist()
        check_parts(make, shots, part_of, rng.permutation(n_parts).tolist())


def check_clear(make: Maker, shots: Sequence[Shot]) -> None:
    """`clear()` equals `fresh()`, which keeps the settings and has seen nothing."""
    new = given_out(make(), shots)
    whole = given_out(seen_by(make(), shots), shots)
    used = seen_by(make(), shots)
    fresh, settings = used.fresh(), used.settings_record()
    assert type(fresh) is type(used), (
        f"fresh() of {type(used).__name__} is a {type(fresh).__name__}"
    )
    _assert_same("fresh() keeps the settings", used, settings, fresh.settings_record())
    _assert_same("fresh() has seen nothing", used, new, given_out(fresh, shots))
    _assert_same("fresh() leaves what it is made from", used, whole, given_out(used, shots))
    _assert_same("fresh() sees as the first", used, whole, given_out(seen_by(fresh, shots), shots))
    used.clear()
    _assert_same("clear() keeps the settings", used, settings, used.settings_record())
    _assert_same("clear() equals fresh()", used, new, given_out(used, shots))
    _assert_same("cleared, sees as a new one", used, whole, given_out(seen_by(used, shots), shots))


def check_inputs(make: Maker, shots: Sequence[Shot]) -> None:
    """Shots are handed on and not changed, their memory is not kept, and results stay as given."""
    expected = given_out(seen_by(make(), [_copied(shot) for shot in shots]), shots)
    analysis = make()
    who = type(analysis).__name__
    before: Any = None
    kept: Any = None
    for number, shot in enumerate(shots):
        read = _copied(shot)  # in memory of its own, as in the reader's buffer
        on = analysis.update(read)
        parts = ("pixels", "mask", "position", "labels")
        for part, was, now in zip(parts, _memory(shot), _memory(read), strict=True):
            assert was == now, f"{who}: update() has changed the {part} of a shot"
        for name in ("run", "step", "number", "detector", "position", "labels", "origin", "time"):
            _assert_same(
                f"update() hands on another {name}", analysis, getattr(shot, name),
                getattr(on, name),
            )  # fmt: skip
        assert on.frame.shape == shot.frame.shape, f"{who}: update() hands on another shape"
        assert isinstance(read.frame, DenseFrame)
        read.frame.pixels.fill(1)
        if read.frame.mask is not None:
            np.logical_not(read.frame.mask, out=read.frame.mask)
        if number == len(shots) // 2:
            kept = analysis.result(), analysis.groups(), analysis.run_rows(shot.run)
            before = plain_parts(kept)
    found = given_out(analysis, shots)
    _assert_same("frames are kept that the reader overwrites", analysis, expected, found)
    _assert_same("a result changes after it was given", analysis, before, plain_parts(kept))


def check_retraction(make: Maker, shots: Sequence[Shot]) -> None:
    """A shot that is taken back was never seen; all detectors' frames of it go together."""
    for pulse in _some_pulses(shots):
        taken_back = [shot for shot in shots if _pulse(shot) == pulse]
        others = [shot for shot in shots if _pulse(shot) != pulse]
        law = f"shot {pulse[1]} of {pulse[0]}, taken back, was seen"
        analysis = _retracted(seen_by(make(), shots), taken_back)
        expected = given_out(seen_by(make(), others), shots)
        _assert_same(law, analysis, expected, given_out(analysis, shots))
    analysis = _retracted(seen_by(make(), shots), shots)
    expected = given_out(make(), shots)
    _assert_same("all shots, taken back, were seen", analysis, expected, given_out(analysis, shots))


def check_retake(make: Maker, shots: Sequence[Shot]) -> None:
    """Of a shot that was taken again, only the last one counts, whenever it is taken."""
    for pulse in _some_pulses(shots):
        first = [shot for shot in shots if _pulse(shot) == pulse]
        again = [_another(shot) for shot in first]
        others = [shot for shot in shots if _pulse(shot) != pulse]
        law = f"shot {pulse[1]} of {pulse[0]}, taken again, is not the last one alone"
        expected = given_out(seen_by(make(), [*others, *again]), shots)
        late = seen_by(_retracted(seen_by(make(), shots), first), again)
        _assert_same(law, late, expected, given_out(late, shots))
        at_once = seen_by(seen_by(_retracted(seen_by(make(), first), first), again), others)
        if others and others[0].time < first[0].time:
            continue  # it was not the first one in the run, so this order never comes
        _assert_same(law, at_once, expected, given_out(at_once, shots))


def check_pickling(make: Maker, shots: Sequence[Shot]) -> None:
    """An analysis that is sent to another process keeps what it has seen, and goes on."""
    half = len(shots) // 2
    sent = seen_by(make(), shots[:half])
    arrived: Analysis = pickle.loads(pickle.dumps(sent))  # noqa: S301 - written here
    _assert_same("sent settings arrive", sent, sent.settings_record(), arrived.settings_record())
    _assert_same("what is sent arrives", sent, given_out(sent, shots), given_out(arrived, shots))
    expected = given_out(seen_by(make(), shots), shots)
    found = given_out(seen_by(arrived, shots[half:]), shots)
    _assert_same("what was sent goes on", sent, expected, found)


def check_outputs(make: Maker, shots: Sequence[Shot]) -> None:
    """What is declared is given, and what is given is declared, for its stream and as its type.

    Each run is looked at after all runs have been seen. A stream of the whole run may have no row,
    as where a sum began anew after the run.
    """
    analysis = seen_by(make(), shots)
    for run in dict.fromkeys(shot.run for shot in shots):
        own = [shot for shot in shots if shot.run == run]
        detectors = {shot.detector: shot.known for shot in own}
        declared: dict[str, dict[str, Output]] = {}
        for output in analysis.outputs(detectors):
            stream = declared.setdefault(output.stream, {})
            assert output.name not in stream, f"{output.stream!r} has {output.name!r} twice"
            assert output.detector in ("", *detectors), f"{output} is of another detector"
            stream[output.name] = output
        given: dict[str, list[Row]] = {
            "shots": [analysis.shot_row(run, number) for number in {s.number for s in own}],
            "primary": [analysis.step_row(run, step) for step in {s.step for s in own}],
        }
        of_steps = [analysis.step_rows(run, step) for step in {s.step for s in own}]
        for streams in (*of_steps, analysis.run_rows(run)):
            for stream_name, row in streams.items():
                given.setdefault(stream_name, []).append(row)
        whole = declared.keys() - {"shots", "primary"} - given.keys()
        for name in (declared.keys() | given.keys()) - whole:
            _check_rows(type(analysis).__name__, name, declared.get(name, {}), given.get(name, []))


def _check_rows(who: str, stream: str, declared: Mapping[str, Output], rows: Sequence[Row]) -> None:
    names = {name for row in rows for name in row}
    assert names == declared.keys(), (
        f"{who}, stream {stream!r}: given but not declared are {sorted(names - declared.keys())}, "
        f"declared but not given are {sorted(declared.keys() - names)}"
    )
    for name, value in itertools.chain.from_iterable(row.items() for row in rows):
        output = declared[name]
        if output.is_image:
            fits = isinstance(value, np.ndarray) and value.ndim == 2
        elif output.is_array:
            fits = (
                isinstance(value, np.ndarray) and value.ndim == 1 and bool(np.isfinite(value).all())
            )
        else:
            kinds = int | np.integer if output.dtype == "integer" else int | float | np.number
            fits = value is None or isinstance(value, kinds)
        kind = "image" if output.is_image else "array" if output.is_array else output.dtype
        assert fits, f"{who}: {name!r} is declared as {kind}, but is {value!r}"


LAWS: Mapping[str, Callable[[Maker, Sequence[Shot]], None]] = MappingProxyType(
    {
        "merging": check_merging,
        "clear": check_clear,
        "inputs": check_inputs,
        "retraction": check_retraction,
        "retake": check_retake,
        "pickling": check_pickling,
        "outputs": check_outputs,
    }
)
"""All laws by their names; each is given a maker of analyses and shots."""


def _pulse(shot: Shot) -> tuple[str, int]:
    return shot.run, shot.number


def _some_pulses(shots: Sequence[Shot]) -> list[tuple[str, int]]:
    """The first, a middle and the last one."""
    pulses = list(dict.fromkeys(map(_pulse, shots)))
    return list(dict.fromkeys([pulses[0], pulses[len(pulses) // 2], pulses[-1]]))


def _retracted(analysis: Analysis, shots: Sequence[Shot]) -> Analysis:
    for shot in shots:
        analysis.retract(shot)
    return analysis


def _memory(shot: Shot) -> tuple[bytes, bytes | None, str, str]:
    assert isinstance(shot.frame, DenseFrame), "give raw shots, whose frames are dense"
    mask = shot.frame.mask
    seen = shot.frame.pixels.tobytes(), None if mask is None else mask.tobytes()
    return *seen, repr(dict(shot.position)), repr(dict(shot.labels))


def _copied(shot: Shot) -> Shot:
    assert isinstance(shot.frame, DenseFrame), "give raw shots, whose frames are dense"
    mask = None if shot.frame.mask is None else shot.frame.mask.copy()
    frame = DenseFrame(shot.frame.pixels.copy(), mask)
    return replace(shot, frame=frame, position=dict(shot.position), labels=dict(shot.labels))


def _another(shot: Shot) -> Shot:
    """The same shot, taken again: another frame, later."""
    assert isinstance(shot.frame, DenseFrame), "give raw shots, whose frames are dense"
    mask = None if shot.frame.mask is None else shot.frame.mask[::-1, ::-1].copy()
    frame = DenseFrame(shot.frame.pixels[::-1, ::-1].copy(), mask)
    return replace(shot, frame=frame, time=shot.time + 0.5)
