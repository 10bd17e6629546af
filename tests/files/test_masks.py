"""Masks in the formats of other programs, and that settings which take a mask take them all."""

from __future__ import annotations

import fabio
import h5py
import numpy as np
import pytest
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage
from fabio.tifimage import TifImage

from femto_bluesky.callbacks import Accumulation
from femto_bluesky.files.arrays import ImageFileError, KeptImages, read_image
from femto_bluesky.files.masks import read_mask, read_masks, write_mask
from femto_bluesky.files.names import OutputExistsError
from femto_bluesky.files.pictures import draw
from femto_bluesky.model.detectors import DetectorSettings
from femto_bluesky.model.hot_pixels import HotPixelSearch
from femto_bluesky.model.masks import MaskError, combine
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.testing.shots import make_shots
from tests.files.drawn import GREY, places, read

SHAPE = (6, 8)


@pytest.fixture
def mask():
    mask = np.zeros(SHAPE, bool)
    mask[2, 3:6] = mask[0, 7] = True
    return mask


def written(path, mask):
    values = mask.astype(np.uint8) * 3
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["entry/mask"] = values
            file["entry/name"] = "gaps"
    else:
        {".edf": EdfImage, ".tif": TifImage}[path.suffix](data=values).write(str(path))
    return path


@pytest.mark.parametrize("suffix", [".npy", ".edf", ".tif", ".h5"])
def test_what_is_not_0_is_masked_in_every_format(tmp_path, mask, suffix):
    path = written(tmp_path / f"mask{suffix}", mask)
    found = read_mask(path, SHAPE)
    assert found.dtype == np.bool_
    assert np.array_equal(found, mask)
    assert np.array_equal(KeptImages().read(path, "mask", np.bool_), mask)


def test_a_dataset_of_several_is_named(tmp_path, mask):
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file["entry/mask"] = mask
        file["entry/stack"] = ~mask[None]
    with pytest.raises(ImageFileError, match=r"2 images: /entry/mask \(6, 8\), /entry/stack"):
        read_mask(tmp_path / "a.nxs")
    assert np.array_equal(read_mask(f"{tmp_path}/a.nxs::/entry/mask"), mask)
    assert np.array_equal(read_mask(f"{tmp_path}/a.nxs::entry/stack"), ~mask)
    kept = KeptImages()
    path = tmp_path / "a.nxs::/entry/mask"
    assert kept.read(path, "mask", np.bool_) is kept.read(path, "mask", np.bool_)
    with pytest.raises(ImageFileError, match="it has no dataset /entry/none"):
        read_mask(f"{tmp_path}/a.nxs::/entry/none")


@pytest.mark.parametrize("name", ["a.edf", "a.tif", "a.h5", "a.npy"])
def test_what_is_no_image_is_named(tmp_path, name):
    with pytest.raises(ImageFileError, match=rf"{name}: no such file, expected a mask .*\.edf"):
        read_mask(tmp_path / name)
    (tmp_path / name).write_bytes(b"text")
    with pytest.raises(ImageFileError, match=rf"{name}: not readable as a mask"):
        read_mask(tmp_path / name)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Compression", "GZIP", r"its pixels are compressed \(GZIP\); write it without"),
        ("EDF_BinaryFileName", "other.edf", "its pixels are in another file"),
    ],
)
def test_pixels_of_an_edf_are_in_it_and_plain(tmp_path, mask, key, value, words):
    """fabio would unpack them to any size, start another program, or read another file."""
    image = EdfImage(data=mask.astype(np.uint8))
    image.header[key] = value
    image.write(str(tmp_path / "a.edf"))
    text = (tmp_path / "a.edf").read_bytes()
    assert value.encode() in text
    with pytest.raises(ImageFileError, match=words):
        read_mask(tmp_path / "a.edf")


def test_a_cbf_without_its_section_is_not_searched_for_ever(tmp_path, mask):
    CbfImage(data=mask.astype(np.int32)).write(str(tmp_path / "a.cbf"))
    assert np.array_equal(read_mask(tmp_path / "a.cbf"), mask)
    data = (tmp_path / "a.cbf").read_bytes()
    (tmp_path / "a.cbf").write_bytes(data.replace(b"--CIF-BINARY", b"--CIF-BINORY"))
    with pytest.raises(ImageFileError, match="header is not followed by pixels"):
        read_mask(tmp_path / "a.cbf")


def test_several_frames_are_no_image(tmp_path, mask):
    image = EdfImage(data=mask.astype(np.uint8))
    image.append_frame(data=mask.astype(np.uint8))
    image.write(str(tmp_path / "a.edf"))
    with pytest.raises(ImageFileError, match="it holds 2 frames, expected one image"):
        read_mask(tmp_path / "a.edf")


def test_shapes_are_checked_in_words(tmp_path, mask):
    path = written(tmp_path / "a.edf", mask)
    with pytest.raises(MaskError, match=r"a\.edf has the shape \(6, 8\), the frames have \(8, 6\)"):
        read_mask(path, (8, 6))
    with pytest.raises(MaskError, match=r"a\.npy leaves no pixel"):
        read_mask(written(tmp_path / "a.npy", np.ones(SHAPE, bool)))


def test_files_are_combined_and_written_for_other_programs(tmp_path, mask):
    gaps, hot = written(tmp_path / "gaps.edf", mask), written(tmp_path / "hot.npy", mask.T[:6, :])
    with pytest.raises(MaskError, match="hot"):
        read_masks([gaps, hot], SHAPE)
    written(tmp_path / "other.tif", np.roll(mask, 1, axis=0))
    both = read_masks([gaps, tmp_path / "other.tif"], SHAPE)
    assert np.array_equal(both, mask | np.roll(mask, 1, axis=0))
    write_mask(tmp_path / "both.npy", both)
    with fabio.open(str(tmp_path / "both.npy")) as theirs:
        assert np.array_equal(theirs.data != 0, both)
    with pytest.raises(OutputExistsError):
        write_mask(tmp_path / "both.npy", both)


def test_learned_hot_pixels_are_a_mask(tmp_path, mask):
    search = HotPixelSearch(dark=100)
    frame = np.full(SHAPE, 100, np.uint16)
    frame[4, 4] = 900
    for _ in range(20):
        search.add(frame)
    write_mask(tmp_path / "hot.npy", search.mask())
    total = combine(read_mask(tmp_path / "hot.npy"), mask)
    assert total[4, 4]
    assert total.sum() == mask.sum() + 1


def test_a_mask_of_another_program_hides_pixels_of_a_detector(tmp_path):
    """The one setting for a mask takes every format; what it hides is grey in the picture."""
    shots = make_shots(["pilatus"], runs=["a"])
    shape = shots[0].frame.shape
    mask = np.zeros(shape, bool)
    mask[1, 2] = True
    path = written(tmp_path / "mask.edf", mask)
    assert DetectorSettings(mask_file=path).mask_file == path
    assert np.array_equal(read_image(path, "mask of 'pilatus'") != 0, mask)
    accumulation = Accumulation()
    for shot in shots:
        accumulation.update(shot)
    image = accumulation.result().image
    group = DataGroup("sum", "sum", Quantity("image", image), (), mask=mask)
    draw(group, tmp_path / "sum.png")
    assert len(places(read(tmp_path / "sum.png"), GREY)) > 20


def test_a_tiff_whose_height_is_no_number_is_refused(tmp_path):
    path = tmp_path / "a.tif"
    written(path, np.zeros((8, 8), np.uint16))
    content = bytearray(path.read_bytes())
    height = content.index(b"\x01\x01\x04\0\x01\0\0\0")  # tag 257, of type 4, one value
    content[height + 4] = 33
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match="its width or height is 33 values of type 4"):
        read_image(path, "mask")
