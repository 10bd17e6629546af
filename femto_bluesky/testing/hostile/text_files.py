"""Files of text that lie, go on for ever, or grow when they are read: lines, settings, geometries.

Pickled settings are made opcode by opcode: those that would call something, if anybody let them.
"""

from __future__ import annotations

import gzip
import json
import pickle
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from femto_bluesky.files.geometries import read_geometry
from femto_bluesky.sources import jsonl, settings
from femto_bluesky.testing.hostile import documents, values

MB = 1 << 20

BOMBS: dict[str, bytes] = {
    "laughs.yaml": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, c, *[c - 1] * 9)
        for c in range(ord("b"), ord("z"))
    ),
    "merged.yaml": b"a: &a {k: 1}\n"
    + b"".join(
        b"%c: &%c {<<: [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]}\n" % (c, c, *[c - 1] * 9)
        for c in range(ord("b"), ord("z"))
    ),
    "list_of_laughs.yaml": b"- &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"- &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n" % (c, *[c - 1] * 9)
        for c in range(ord("b"), ord("z"))
    ),
    "rois_of_laughs.yaml": b"- {name: x, data: &a [x,x,x,x,x,x,x,x,x]}\n"
    + b"".join(
        b"- {name: rois, data: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]}\n" % (c, *[c - 1] * 9)
        for c in range(ord("b"), ord("z"))
    ),
    "itself.yaml": b"&a [*a, {name: *a, data: *a}]",
    "itself_as_data.yaml": b"- name: rois\n  data: &a [*a]\n",
    "key_of_itself.yaml": b"&a {? *a : 1}",
    "called.yaml": b"!!python/object/apply:os.system ['touch marker']",
    "made.yaml": b"!!python/object/new:type [x, [], {}]",
    "sexagesimal.yaml": b"energy_kev: " + b":".join([b"59"] * 20_000),
    "sexagesimal_float.yaml": b"energy_kev: " + b":".join([b"59"] * 20_000) + b".5",
    "digits.yaml": b"energy_kev: " + b"9" * 500_000,
    "digits.json": b'{"energy_kev": ' + b"9" * 500_000 + b"}",
    "exponent.json": b'{"energy_kev": 1e999999999}',
    "deep.json": b"[" * 200_000,
    "deep_dict.json": b'{"a":' * 100_000,
    "deep.yaml": b"[" * 100_000,
    "deep_block.yaml": b"- " * 20_000,
    "indented.yaml": b"\n".join(b" " * i + b"a:" for i in range(900)),
    "wide.yaml": b"- a\n" * 200_000,
    "keys.yaml": b"".join(b"k%d: 1\n" % i for i in range(50_000)),
    "quotes.yaml": b'"' + b"\\n" * 300_000,
    "anchors.yaml": b"".join(b"- &a%d x\n" % i for i in range(30_000)),
    "comments.yaml": b"#" * MB,
    "question.yaml": b"? " * 20_000,
    "tag.yaml": b"!<" + b"x" * 100_000 + b"> 1",
    "binary.yaml": b"!!binary " + b"A" * 500_000,
    "time.yaml": b"energy_kev: 9999-99-99 99:99:99",
    "duplicates.json": b'{"a": 1, "a": 2, "a": {}}',
    "nothing.json": b"",
    "zero.json": b"\0" * 1000,
    "utf16.json": "{}".encode("utf-16"),
    "surrogate.json": b'{"rois": {"\\ud800": {}}, "name": "\\udfff"}',
    "bom.json": b"\xef\xbb\xbf{}",
    "null.json": b"null",
    "large.json": b"[" + b"0," * MB + b"0]",
}


@lru_cache(maxsize=1)
def calling_pickles(folder: Path) -> list[bytes]:
    """Pickles that leave a file when they are loaded by who believes them."""
    marker = f"{folder}/marker".encode()
    text = b"X" + len(marker).to_bytes(4, "little") + marker
    touch = b"X" + (6 + len(marker)).to_bytes(4, "little") + b"touch " + marker
    mode = b"X\x01\0\0\0w"
    return [
        b"\x80\x04cposix\nsystem\n(" + touch + b"tR.",
        b"\x80\x04cos\nsystem\n(" + touch + b"tR.",
        b"\x80\x04(" + touch + b"ios\nsystem\n.",
        b"\x80\x04(cos\nsystem\n" + touch + b"o.",
        b"\x80\x04cbuiltins\nopen\n(" + text + mode + b"tR.",
        b"\x80\x04c__builtin__\nopen\n(" + text + mode + b"tR.",
        b"\x80\x04cio\nopen\n" + text + mode + b"\x86R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04open\x93" + text + mode + b"\x86R.",
        b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93(X\x0a\0\0\0__import__tR.",
        b"\x80\x04\x8c\x0csubprocess\x8c\x05Popen\x93" + touch + b"\x85R.",
        b"\x80\x04cpathlib\nPosixPath\n" + text + b"\x85\x81b.",
        b"\x80\x04cnumpy\nfromfile\n" + text + b"\x85R.",
        b"\x80\x04cnumpy\nload\n" + text + b"\x85R.",
        b"\x80\x04cnumpy\nndarray\n(K\x01tR.",
        b"\x80\x04cnumpy\ndtype\n(X\x03\0\0\0O,OtR.",
        b"\x80\x04cdranspose.protocol\nWorkParameter\n(cos\nsystem\ntR.",
        b"\x80\x04" + b"\x82\x01.",  # from the registry of extensions
        b"\x80\x04Pmarker\n.",  # a persistent id
        b"\x80\x05" + b"\x97.",  # a buffer out of band
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.",  # bytes without end
        b"\x80\x04\x8d" + b"\xff" * 8 + b".",
        b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f.",
        b"\x80\x04\x8b\xff\xff\xff\x7f.",  # an integer of 2 GB
        b"\x80\x04" + b"]" * 50_000 + b"a" * 49_999 + b".",
        b"\x80\x04" + b")" + b"\x85" * 200_000 + b".",
        b"\x80\x04}(" + b"K\x01" * 3 + b"u.",
        b"\x80\x04]q\0h\0a.",
        b"\x80\x04]" + b"q\0h\0h\0\x86" * 40 + b".",
        b"\x80\x04X\x02\0\0\0xx" + b"2\x86" * 60 + b".",  # laughs of tuples
        b"\x80\x04]2" * 3 + b"." + b"N" * 6 * MB,
        b"\x80\x04" + b"N" * 5_500_000 + b".",
    ]


# --- parameters -------------------------------------------------------------------------------

_RECTANGLE = {
    "type": "RectangleROI",
    "handles": {"_handleBottomLeft": [1.0, 2.0], "_handleTopRight": [5.0, 6.0]},
}
_PARAMETERS = [
    {"name": "rois", "data": json.dumps({"ROI 1": _RECTANGLE})},
    {"name": "integrate", "data": "True"},
    {"name": "cmos_background", "data": "100"},
    {"name": "cmos_threshold", "data": b"12.5".decode()},
]
_OURS = {
    "rois": {"a": {"x0": 1, "y0": 2, "x1": 3, "y1": 4}},
    "accumulate": True,
    "cmos": {"dark_adu": 100, "threshold_adu": 4},
}


def parameters(rng: Random, number: int, folder: Path) -> Path:
    """A file of settings: ours, or the predecessor's parameters as JSON, YAML or a pickle."""
    by_hand = [*BOMBS.items(), *((f"p{i}.pkl", p) for i, p in enumerate(calling_pickles(folder)))]
    if number < len(by_hand):
        name, data = by_hand[number]
        return _written(folder / name, data)
    tree: Any = rng.choice([_PARAMETERS, _OURS])
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        tree = values.damaged(tree, rng, lambda: values.plain_value(rng, folder))
        if not isinstance(tree, dict | list):
            break
    if rng.random() < 0.3:
        rois = values.damaged({"r": _RECTANGLE}, rng, lambda: values.plain_value(rng, folder))
        tree = [{"name": "rois", "data": _json(rois)}, *_PARAMETERS[1:]]
    way = rng.randrange(4)
    if way == 0:
        data, suffix = pickle.dumps(tree, rng.randrange(2, 6)), "pkl"
    elif way == 1:
        data, suffix = _yaml(tree), "yaml"
    else:
        data, suffix = _json(tree).encode("utf-8", "surrogatepass"), rng.choice(["json", "txt"])
    if rng.random() < 0.6:
        data = values.damaged_bytes(data, rng)
    return _written(folder / f"settings.{suffix}", data)


def read_parameters(path: Path, folder: Path) -> str | None:
    """Read settings."""
    settings.read_settings(path)
    return None


# --- geometries -------------------------------------------------------------------------------

_PONI = """# Nota: C-Order, 1 refers to the Y axis, 2 to the X axis
poni_version: 2.1
Detector: Detector
Detector_config: {"pixel1": 0.000172, "pixel2": 0.000172, "max_shape": [619, 487], "orientation": 3}
Distance: 0.131
Poni1: 0.064
Poni2: 0.036
Rot1: 0.01
Rot2: -0.02
Rot3: 0.0
Wavelength: 9.184e-11
"""
_GEOMETRY = {
    "energy_kev": 13.5, "distance_m": 0.131, "x0_px": 210, "y0_px": 373, "pixel_size_m": 172e-6,
    "tilt_deg": 1.0, "rotation_deg": 20.0,
}  # fmt: skip


def _poni_with(key: str, value: str) -> bytes:
    lines = [line for line in _PONI.splitlines() if not line.startswith(f"{key}:")]
    return "\n".join([*lines, f"{key}: {value}", ""]).encode("utf-8", "surrogatepass")


def _ponis(folder: Path) -> list[bytes]:
    marker = f"{folder}/marker"
    return [
        _poni_with("Detector", "NexusDetector")[:-1] + b"\nfilename: /etc/passwd\n",
        _poni_with("Detector_config", json.dumps({"filename": marker})),
        _poni_with("Detector_config", '{"max_shape": [1000000000, 1000000000]}'),
        _poni_with("Detector_config", "{" * 50_000),
        _poni_with("Detector_config", '{"__class__": 1, "pixel1": "__import__(\'os\')"}'),
        _poni_with("Detector", "__import__('os').system('touch marker')"),
        _poni_with("Detector", "x" * 100_000),
        _poni_with("SplineFile", marker),
        _poni_with("Distance", "nan"), _poni_with("Distance", "-inf"), _poni_with("Distance", "0"),
        _poni_with("Distance", "1e400"), _poni_with("Wavelength", "0"),
        _poni_with("Wavelength", "1e-400"), _poni_with("Rot1", "1e308"),
        _poni_with("Rot2", "1.5707963267948966"), _poni_with("Poni1", "9" * 100_000),
        _poni_with("poni_version", "99999999999999999999"), _poni_with("poni_version", "nan"),
        _poni_with("PixelSize1", "0"), _poni_with("PixelSize1", "-1"), b"poni1:\n" * 100_000,
    ]  # fmt: skip


def geometry(rng: Random, number: int, folder: Path) -> Path:
    """A PONI file, or a geometry in our terms."""
    by_hand = [*((f"g{i}.poni", data) for i, data in enumerate(_ponis(folder))), *BOMBS.items()]
    if number < len(by_hand):
        name, data = by_hand[number]
        return _written(folder / name, data)
    way = rng.randrange(3)
    if way == 0:
        key = rng.choice([line.split(":")[0] for line in _PONI.splitlines()[1:]])
        data = _poni_with(key, str(values.plain_value(rng, folder))[:5000])
    elif way == 1:
        data = _PONI.encode()
    else:
        tree = values.damaged(_GEOMETRY, rng, lambda: values.plain_value(rng, folder))
        in_json = _json(tree).encode("utf-8", "surrogatepass")
        data = rng.choice([_yaml(tree), in_json])
    if way == 1 or rng.random() < 0.4:
        data = values.damaged_bytes(data, rng)
    return _written(folder / "geometry.poni", data)


def read_a_geometry(path: Path, folder: Path) -> str | None:
    """Read a geometry."""
    read_geometry(path)
    return None


# --- JSON lines -------------------------------------------------------------------------------


def _lines_by_hand(folder: Path) -> list[tuple[str, Callable[[], bytes]]]:
    start = b'["start", {"uid": "a", "time": 1}]\n'
    return [
        ("a.jsonl", lambda: b""), ("a.jsonl", lambda: b"\n" * 1000), ("a.jsonl", lambda: start),
        ("a.jsonl", lambda: b"[" * 100_000), ("a.jsonl", lambda: b"\0" * 1000),
        ("a.jsonl", lambda: start + b'["event", {"a": ' + b"[" * 100_000),
        ("a.jsonl", lambda: start + b'["stop", {"run_start": "a", "time": 1e999}]\n'),
        ("a.jsonl", lambda: b'["start", {"uid": "a", "time": ' + b"9" * 9000 + b"}]\n"),
        ("a.jsonl", lambda: b'["start", {"uid": ["a"], "time": [1]}]\n["stop", {"run_start": []}]'),
        ("a.jsonl", lambda: b'["start", {"uid": "\\ud800"}]\n'),
        ("a.jsonl", lambda: start + b'["event", {"descriptor": {}, "seq_num": "x"}]\n'),
        ("a.jsonl", lambda: start + b'["descriptor", {"uid": "d", "run_start": "a"}]\n'
         b'["event", {"descriptor": "d", "seq_num": "x"}]\n'),
        ("a.jsonl", lambda: start + b'["descriptor", {"uid": "d", "run_start": "a"}]\n'
         b'["event_page", {"descriptor": "d", "seq_num": [[], "x", null]}]\n'),
        ("a.jsonl", lambda: start + b'["stream_resource", {"uri": "file://[::1"}]\n'),
        ("a.jsonl", lambda: start + b'["stream_resource", {"uri": "file:' + b"x" * 9000 + b'"}]\n'),
        ("a.jsonl", lambda: start + b'["stream_resource", {"uri": "file:a%00b"}]\n'),
        ("a.jsonl", lambda: start + b'["resource", {"resource_path": "a\\u0000b"}]\n'),
        ("a.jsonl", lambda: start + b'["resource", {"resource_path": 5, "root": {}}]\n'),
        ("a.jsonl.gz", lambda: gzip.compress(start)[:-9]), ("a.jsonl.gz", lambda: start),
        ("a.jsonl.gz", lambda: gzip.compress(bytes(300 * MB), 1)),
        ("a.jsonl.gz", lambda: gzip.compress(start) + gzip.compress(b"[" * 200 * MB, 1)),
        ("a.jsonl.gz", lambda: gzip.compress(b'["start", "' + b"x" * 150 * MB + b'"]', 1)),
        ("a.jsonl.gz", lambda: gzip.compress(start)[:10] + b"\xff" * 500),
    ]  # fmt: skip


def lines(rng: Random, number: int, folder: Path) -> Path:
    """A file of JSON lines, also compressed."""
    by_hand = _lines_by_hand(folder)
    if number < len(by_hand):
        name, make = by_hand[number]
        return _written(folder / name, make())
    docs = documents.jsonable(rng, number, folder)
    data = b"".join(
        _json([name, doc]).encode("utf-8", "surrogatepass") + b"\n" for name, doc in docs
    )
    if rng.random() < 0.6:
        data = values.damaged_bytes(data, rng)
    if rng.random() < 0.3:
        data = gzip.compress(data, 1)
        if rng.random() < 0.5:
            data = values.damaged_bytes(data, rng)
        return _written(folder / "a.jsonl.gz", data)
    return _written(folder / "a.jsonl", data)


def read_lines(path: Path, folder: Path) -> str | None:
    """Read all documents."""
    for _ in jsonl.read(path):
        pass
    return None


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _json(tree: Any) -> str:
    try:
        return json.dumps(tree)
    except (TypeError, ValueError, RecursionError):
        return "{" * 100


def _yaml(tree: Any) -> bytes:
    try:
        return yaml.safe_dump(json.loads(_json(tree)), allow_unicode=True).encode(
            "utf-8", "surrogatepass"
        )
    except (RecursionError, yaml.YAMLError):
        return b"- " * 100
