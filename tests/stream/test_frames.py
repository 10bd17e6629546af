from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from femto_bluesky.stream import datasets
from femto_bluesky.stream.frames import (
    FrameError,
    Hdf5Frames,
    InlineFrames,
    TiffFrames,
    checked_image,
    open_resource,
    path_of_uri,
)

DATASET = "/entry/data/data"


def images(n, dtype=np.uint16, shape=(4, 6)):
    return (np.arange(n * shape[0] * shape[1]).reshape(n, *shape) % 199).astype(dtype)


def written(path, data, **options):
    with h5py.File(path, "x") as file:
        file.create_dataset(DATASET, data=data, **options)
    return Hdf5Frames(path, DATASET)


def read_all(source):
    return np.stack([source.read(index).copy() for index in range(len(source))])


# --- HDF5 -------------------------------------------------------------------------------------

WRITER = """
import sys, h5py, numpy as np
path = sys.argv[1]
with h5py.File(path, "x", libver="latest") as file:
    data = file.create_dataset(
        "/entry/data/data", (0, 4, 6), maxshape=(None, 4, 6), chunks=(1, 4, 6), dtype="u2"
    )
    file.swmr_mode = True
    for line in sys.stdin:
        n = len(data)
        data.resize(n + int(line), axis=0)
        for i in range(n, len(data)):
            data[i] = 10 * i
        data.flush()
        print(len(data), flush=True)
"""


@pytest.fixture
def writer(tmp_path):
    """Another process that writes frames when told to: inside one process nothing is locked."""
    script = tmp_path / "writer.py"
    script.write_text(textwrap.dedent(WRITER))
    path = tmp_path / "growing.h5"
    with subprocess.Popen(
        [sys.executable, script, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def write(n):
            process.stdin.write(f"{n}\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        yield path, write
        process.stdin.close()
        assert process.wait(20) == 0


def test_frames_are_read_while_another_process_writes_them(writer):
    path, write = writer
    assert write(2) == 2
    source = Hdf5Frames(path, DATASET)
    assert len(source) == 2
    assert source.read(1).max() == 10
    with pytest.raises(FrameError, match=r"holds 2 frames, the documents name frame 2; copy the"):
        source.read(2)
    write(3)
    assert source.read(4).min() == 40, "read() itself must look for what was added"
    assert len(source) == 5
    write(1)
    assert len(source) == 6
    source.close()
    assert source.read(5).min() == 50, "a closed source opens again"
    source.close()


def test_two_readers_in_one_process_do_not_spoil_each_other(writer):
    """HDF5 gave frame 0 for every frame: two analyses on one RunEngine read the same file."""
    path, write = writer
    write(3)
    first, second = Hdf5Frames(path, DATASET), Hdf5Frames(path, DATASET.strip("/"))
    assert len(first) == len(second) == 3
    write(2)
    for source in (first, second, first):
        assert [frame[0, 0] for frame in read_all(source)] == [0, 10, 20, 30, 40]
    first.close()
    write(1)
    assert [frame[0, 0] for frame in read_all(second)] == [0, 10, 20, 30, 40, 50]
    second.close()
    second.close()
    assert path.stat().st_ino not in {inode for _, inode, _ in datasets._open}


def test_a_handle_that_somebody_else_holds_is_seen(writer):
    path, write = writer
    write(2)
    source = Hdf5Frames(path, DATASET)
    assert len(source) == 2
    with h5py.File(path, "r", swmr=True, libver="latest") as file:
        theirs = file[DATASET]
        assert len(source) == 2, "nothing to refresh"
        assert [frame[0, 0] for frame in read_all(source)] == [0, 10]
        write(2)
        with pytest.raises(FrameError, match=r"another open handle .* expected none but ours"):
            len(source)
        assert theirs[1].max() == 10
        del theirs
    assert [frame[0, 0] for frame in read_all(source)] == [0, 10, 20, 30]
    source.close()


def test_a_file_without_swmr_shows_what_was_added_to_it(tmp_path):
    path = tmp_path / "plain.h5"
    with h5py.File(path, "x") as file:
        file.create_dataset(DATASET, data=images(2), maxshape=(None, 4, 6), chunks=(1, 4, 6))
    source = Hdf5Frames(path, DATASET)
    assert len(source) == 2
    first = source.read(0).copy()
    source.close()
    code = (
        f"import h5py; file = h5py.File({str(path)!r}, 'a'); data = file['{DATASET}'];"
        "data.resize(3, axis=0); data[2] = 7; file.close()"
    )
    kept_open = h5py.File(path, "r", locking=False)
    source._open()
    subprocess.run([sys.executable, "-c", "import os; os.environ['HDF5_USE_FILE_LOCKING']='FALSE';"
                    + code], check=True)  # fmt: skip
    kept_open.close()
    assert len(source) == 3
    assert (source.read(2) == 7).all()
    np.testing.assert_array_equal(source.read(0), first)
    source.close()


def test_one_buffer_is_filled_again(tmp_path):
    source = written(tmp_path / "a.h5", images(3))
    first = source.read(0)
    assert source.read(1) is first
    np.testing.assert_array_equal(first, images(3)[1])


@pytest.mark.parametrize(
    ("options", "data"),
    [
        ({"chunks": (3, 2, 6)}, images(7)),
        ({"chunks": (3, 4, 6), "compression": "gzip"}, images(7)),
        ({"chunks": (100, 4, 6), "maxshape": (None, 4, 6)}, images(7)),
        ({}, images(3, ">u2")),
        ({}, images(3, ">f4")),
        ({}, images(3, np.bool_)),
        ({}, images(3, np.int64)),
    ],
)
def test_every_layout_gives_the_same_numbers(tmp_path, options, data):
    source = written(tmp_path / "a.h5", data, **options)
    frames = read_all(source)
    np.testing.assert_array_equal(frames, data)
    assert frames.dtype.isnative
    assert source.frame_shape == (4, 6)


def test_float16_is_widened(tmp_path):
    source = written(tmp_path / "a.h5", images(2, np.float16))
    assert source.read(1).dtype == np.float32
    np.testing.assert_array_equal(read_all(source), images(2, np.float32))


def test_a_dataset_of_two_dimensions_is_one_frame(tmp_path):
    source = written(tmp_path / "a.h5", images(1)[0])
    assert len(source) == 1
    np.testing.assert_array_equal(source.read(0), images(1)[0])
    with pytest.raises(FrameError, match="holds 1 frames, the documents name frame 1"):
        source.read(1)


def test_huge_chunks_are_named_and_still_read(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("femto_bluesky.stream.datasets.MAX_CHUNK_CACHE_BYTES", 100)
    source = written(tmp_path / "a.h5", images(7), chunks=(3, 4, 6))
    np.testing.assert_array_equal(read_all(source), images(7))
    assert "has chunks of 3 frames" in caplog.text
    assert "Write one frame a chunk" in caplog.text


def test_what_is_missing_or_wrong_is_named(tmp_path):
    with pytest.raises(FrameError, match=r"none\.h5: no such file; .* Mount the disk"):
        len(Hdf5Frames(tmp_path / "none.h5", DATASET))
    written(tmp_path / "a.h5", images(2))
    with pytest.raises(FrameError, match=r"no dataset '/other'; datasets .*\['entry/data/data'\]"):
        len(Hdf5Frames(tmp_path / "a.h5", "/other"))
    with pytest.raises(FrameError, match=r"no dataset '/entry'"):
        len(Hdf5Frames(tmp_path / "a.h5", "/entry"))
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(FrameError, match=r"not readable as HDF5 .* swmr_mode"):
        len(Hdf5Frames(tmp_path / "text.h5", DATASET))


@pytest.mark.parametrize(
    "data",
    [np.zeros((2, 2, 2, 2)), np.zeros(5), np.zeros((2, 4, 6), complex), np.zeros((2, 3), "S3")],
)
def test_what_is_no_stack_of_images_is_refused(tmp_path, data):
    source = written(tmp_path / "a.h5", data)
    with pytest.raises(FrameError, match=r"expected \(frames, rows, columns\) of real numbers"):
        len(source)


def test_a_damaged_frame_is_named(tmp_path):
    path = tmp_path / "a.h5"
    written(path, images(3), chunks=(1, 4, 6), compression="gzip")
    with h5py.File(path) as file:
        chunk = file[DATASET].id.get_chunk_info(1)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(raw)
    source = Hdf5Frames(path, DATASET)
    np.testing.assert_array_equal(source.read(0), images(3)[0])
    with pytest.raises(FrameError, match=r"frame 1 of .* is not readable .* filter is missing"):
        source.read(1)
    np.testing.assert_array_equal(source.read(2), images(3)[2])


# --- TIFF -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("%s%s_%6.6d.tiff", "shot_{:06d}.tiff"),
        ("%s_%d.tif", "shot_{}.tif"),
        ("%04d.tiff", "{:04d}.tiff"),
        ("img_{:06d}.tiff", "img_{:06d}.tiff"),
    ],
)
@pytest.mark.parametrize("kind", ["resource", "stream_resource"])
def test_the_templates_of_tiff_files(tmp_path, template, name, kind):
    folder = tmp_path / "a folder"
    folder.mkdir()
    data = images(5)
    for index, image in enumerate(data):
        tifffile.imwrite(folder / name.format(index), image)
    parameters = {"template": template, "filename": "shot"}
    if kind == "resource":
        doc = {"spec": "AD_TIFF", "root": str(tmp_path), "resource_path": "a folder",
               "resource_kwargs": parameters}  # fmt: skip
    else:
        doc = {"mimetype": "multipart/related;type=image/tiff", "uri": folder.as_uri() + "/",
               "parameters": parameters}  # fmt: skip
    source = open_resource(doc)
    assert len(source) == 5
    np.testing.assert_array_equal(read_all(source), data)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 7, 8, 9, 33])
def test_tiff_files_are_counted(tmp_path, n):
    for index in range(n):
        (tmp_path / f"{index}.tif").touch()
    assert len(TiffFrames(lambda index: tmp_path / f"{index}.tif")) == n


def test_a_tiff_file_that_is_none_is_named(tmp_path):
    source = TiffFrames(lambda index: tmp_path / f"{index}.tif")
    with pytest.raises(FrameError, match=r"0\.tif: not readable as TIFF .* as frame 0"):
        source.read(0)
    (tmp_path / "0.tif").write_text("text")
    with pytest.raises(FrameError, match=r"0\.tif: not readable as TIFF"):
        source.read(0)
    tifffile.imwrite(tmp_path / "1.tif", np.zeros((4, 6, 3), np.uint8))
    with pytest.raises(FrameError, match=r"1\.tif: found an array of shape \(4, 6, 3\)"):
        source.read(1)


def test_tiff_files_without_a_template_are_refused():
    doc = {"mimetype": "multipart/related;type=image/tiff", "uri": "file://localhost/data/a_0.tif",
           "parameters": {"join_method": "stack"}}  # fmt: skip
    with pytest.raises(
        FrameError, match=r"found only \['join_method'\].*expected a template.*replay"
    ):
        open_resource(doc)


# --- documents --------------------------------------------------------------------------------


def test_an_unknown_kind_of_file_is_refused():
    doc = {"mimetype": "application/x-zarr", "uri": "file://localhost/data/a", "parameters": {}}
    with pytest.raises(FrameError, match=r"'application/x-zarr' cannot be read; known are"):
        open_resource(doc)


def test_the_dataset_is_areadetectors_where_none_is_named(tmp_path):
    for parameters in ({}, {"dataset": ""}, {"path": DATASET}):
        doc = {"mimetype": "application/x-hdf5", "uri": "file:///a.h5", "parameters": parameters}
        assert open_resource(doc).dataset == DATASET


def test_uris():
    assert path_of_uri("file:///a%20b.h5") == Path("/a b.h5")
    assert path_of_uri("/a b.h5") == Path("/a b.h5")
    with pytest.raises(FrameError, match="only files can be read here"):
        path_of_uri("https://example.org/a.h5")


def test_inline_frames_take_arrays_lists_and_sequences():
    data = images(3)
    np.testing.assert_array_equal(read_all(InlineFrames(data, None, "here")), data)
    source = InlineFrames(data.tolist(), "<u2", "here")
    assert source.read(0).dtype == np.uint16
    np.testing.assert_array_equal(read_all(source), data)
    assert len(InlineFrames(data[0], None, "here")) == 1
    with pytest.raises(FrameError, match=r"here: the nested list is no regular image"):
        InlineFrames([[1, 2], [3]], "<u2", "here")
    with pytest.raises(FrameError, match=r"here: found an array of shape \(3,\)"):
        InlineFrames([1, 2, 3], "<u2", "here")


def test_an_image_is_made_fit_for_kernels():
    for data in (images(1, ">u2")[0], images(1)[0].T, images(1)[0][::2]):
        found = checked_image(data, "here")
        assert found.flags.c_contiguous
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, data)
    native = images(1)[0]
    assert np.shares_memory(checked_image(native, "here"), native)
    with pytest.raises(FrameError, match="expected a 2-D image of real numbers"):
        checked_image(np.zeros((2, 2), complex), "here")
