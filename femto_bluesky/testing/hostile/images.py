"""Images of masks and dark levels that declare what they do not hold, in formats of all kinds."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
import tifffile

from femto_bluesky.testing.hostile import values


def _npy(shape: str, descr: str = "'<u2'", order: str = "False", data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


_NPYS = [
    _npy("(1000000000, 1000000000)"), _npy("(10, 10)"), _npy("(-1, 10)", data=bytes(200)),
    _npy("(2**40, 2**40)"), _npy("(0, 0)"), _npy("()", data=bytes(2)), _npy("(1,) * 99"),
    _npy("(10, 10)", "'O'", data=bytes(800)), _npy("(10, 10)", "'|V1000000000'"),
    _npy("(10, 10)", "[('a', '<u2')]", data=bytes(200)), _npy("(10, 10)", "'<U1000000000'"),
    _npy("__import__('os').system('touch marker')"), _npy("(" * 2000), _npy("(10, 10)", "'<f8'"),
    _npy("(1000000000, 0)"), _npy("(True, 2)", data=bytes(4)), b"\x93NUMPY\x01\x00\xff\xff",
    b"\x93NUMPY\x02\x00\xff\xff\xff\x7f", b"\x93NUMPY\xff\xff", b"", b"\x93", b"PK\x03\x04" * 9,
    b"\x80\x04cos\nsystem\n(X\x0c\0\0\0touch markertR.",
]  # fmt: skip


def _edf(**more: object) -> bytes:
    said = {"HeaderID": "EH:000001:000000:000000", "Image": 1, "ByteOrder": "LowByteFirst",
            "DataType": "UnsignedShort", "Dim_1": 8, "Dim_2": 8, "Size": 128, **more}  # fmt: skip
    text = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in said.items())
    return text.encode().ljust(510) + b"}\n" + bytes(128)


_EDFS = [
    _edf(), _edf(Dim_1=10**9, Dim_2=10**9), _edf(Dim_1=20_000, Dim_2=20_000), _edf(Dim_1=-8),
    _edf(Size=10**12), _edf(Dim_1="x"), _edf(DataType="os.system"), _edf(Dim_1=10**5, Size=-1),
    _edf(EDF_BinaryFileName="/etc/passwd", EDF_BinaryFilePosition=0), _edf(Dim_3=10**9),
    _edf(EDF_HeaderSize=10**12), _edf(EDF_DataBlocks=10**9), b"{" * 9999,
]  # fmt: skip


def _cbf(fast: int, slow: int, size: int) -> bytes:
    return (
        b"###CBF: VERSION 1.5\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        b'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        b"Content-Transfer-Encoding: BINARY\r\nX-Binary-Size: %d\r\nX-Binary-ID: 1\r\n"
        b'X-Binary-Element-Type: "signed 32-bit integer"\r\n'
        b"X-Binary-Element-Byte-Order: LITTLE_ENDIAN\r\nX-Binary-Number-of-Elements: %d\r\n"
        b"X-Binary-Size-Fastest-Dimension: %d\r\nX-Binary-Size-Second-Dimension: %d\r\n\r\n"
        b"\x0c\x1a\x04\xd5" % (size, fast * slow, fast, slow)
    ) + bytes(64)


_CBFS = [_cbf(8, 8, 64), _cbf(10**5, 10**5, 64), _cbf(20_000, 20_000, 64), _cbf(8, 8, 10**12),
         _cbf(-8, 8, 64), _cbf(0, 0, 0)]  # fmt: skip


@cache
def _tiff() -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, np.arange(64, dtype=np.uint16).reshape(8, 8))
    return file.getvalue()


_BY_HAND = [
    *[(".npy", data) for data in _NPYS], *[(".edf", data) for data in _EDFS],
    *[(".cbf", data) for data in _CBFS], (".msk", b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0" + b"\x7f" * 2000),
    (".img", b"{\nHEADER_BYTES= 512;\nSIZE1=99999;\nSIZE2=99999;\n}".ljust(600)),
]  # fmt: skip


def made(rng: Random, number: int, folder: Path) -> Path:
    """One file."""
    if number < len(_BY_HAND):
        suffix, data = _BY_HAND[number]
    else:
        npy = _npy("(8, 8)", data=bytes(128))
        sound = [(".npy", npy), (".npy", npy), (".edf", _edf()), (".cbf", _CBFS[0]),
                 (".tif", _tiff()), (".tif", _tiff())]  # fmt: skip
        suffix, data = rng.choice(sound)
        data = values.damaged_bytes(data, rng)
    path = folder / f"image{suffix}"
    path.write_bytes(data)
    return path
