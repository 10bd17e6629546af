from __future__ import annotations

import io

import numpy as np
import pytest

from femto_bluesky.files.arrays import ImageFileError, read_image, write_image
from femto_bluesky.files.names import OutputExistsError


def saved(path, array):
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", ["u2", ">u2", "f4", ">f8", "?", "i8"])
def test_an_image_comes_back_in_native_bytes_and_memory_of_its_own(tmp_path, dtype):
    image = (np.arange(12).reshape(3, 4) % 7).astype(dtype)
    path = saved(tmp_path / "a.npy", np.asfortranarray(image))
    found = read_image(path, "dark image")
    np.testing.assert_array_equal(found, image)
    assert type(found) is np.ndarray
    assert found.dtype.isnative
    assert found.flags.c_contiguous
    assert found.flags.owndata
    found[0, 0] = 1
    assert read_image(str(path), "dark image")[0, 0] == image[0, 0]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageFileError, match=r"none\.npy: no such file, expected a mask .* path"):
        read_image(tmp_path / "none.npy", "mask")


NO_DTYPE = b"{'descr': ',', 'fortran_order': False, 'shape': (2, 2)}"


@pytest.mark.parametrize("content", [
    b"", b"text", b"\x93NUMPY\x01\x00", b"\x80\x04N.",
    b"\x93NUMPY\x01\x00" + len(NO_DTYPE).to_bytes(2, "little") + NO_DTYPE,
])  # fmt: skip
def test_what_is_no_npy_is_named(tmp_path, content):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.npy: not readable as a dark image .*numpy\.save"):
        read_image(tmp_path / "a.npy", "dark image")


def test_objects_are_not_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(ImageFileError, match="not readable as a mask"):
        read_image(tmp_path / "a.npy", "mask")


def test_a_header_that_promises_too_much_takes_no_memory(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)}
    )
    (tmp_path / "a.npy").write_bytes(head.getvalue() + bytes(100))
    with pytest.raises(ImageFileError, match="not readable as a mask"):
        read_image(tmp_path / "a.npy", "mask")


def test_an_archive_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.zeros((2, 2)))
    with pytest.raises(ImageFileError, match=r"archive of arrays .* save the one image"):
        read_image(tmp_path / "a.npz", "mask")


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(3),
        np.zeros((2, 2, 2)),
        np.zeros((0, 3)),
        np.zeros((2, 2), "S3"),
        np.ones((1, 1), complex),
    ],
)
def test_what_is_no_image_is_named(tmp_path, array):
    path = saved(tmp_path / "a.npy", array)
    with pytest.raises(ImageFileError, match=r"found an array of the shape .* rows and columns"):
        read_image(path, "mask")


def test_an_image_is_written_once(tmp_path):
    path = tmp_path / "mask.npy"
    write_image(path, np.eye(3, dtype=bool))
    np.testing.assert_array_equal(read_image(path, "mask"), np.eye(3))
    with pytest.raises(OutputExistsError):
        write_image(path, np.zeros((3, 3)))
    np.testing.assert_array_equal(read_image(path, "mask"), np.eye(3))
    assert [found.name for found in tmp_path.iterdir()] == ["mask.npy"]
