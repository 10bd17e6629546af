from __future__ import annotations

import math

import pytest
from pyFAI.calibrant import get_calibrant

from femto_bluesky.model.calibrants import (
    CalibrantError,
    CalibrantLine,
    calibrant_lines,
    calibrant_name,
    calibrant_names,
)


def test_the_rings_of_lab6_stand_where_the_beamline_sees_them():
    lines = calibrant_lines("LaB6", (1.5, 3.4))
    assert [round(line.q, 2) for line in lines] == [1.51, 2.14, 2.62, 3.02, 3.38]
    assert [line.hkl for line in lines] == [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 0, 0), (2, 1, 0)]
    assert [line.label for line in lines][:2] == ["1 0 0", "1 1 0"]
    assert max(lines, key=lambda line: line.intensity or 0).hkl == (1, 1, 0)


@pytest.mark.parametrize("name", ["LaB6", "CeO2", "Si", "AgBh"])
def test_lines_are_those_of_pyfai_by_rising_q(name):
    lines = calibrant_lines(name)
    assert [line.d for line in lines] == pytest.approx(get_calibrant(name).dspacing)
    assert [line.q for line in lines] == sorted(line.q for line in lines)


def test_an_energy_reaches_as_far_as_backscattering():
    lines = calibrant_lines("Si", energy_kev=13.5)
    everything = calibrant_lines("Si")
    assert lines == everything[: len(lines)]
    half_wavelength = 12.39842 / 13.5 / 2
    assert lines[-1].d > half_wavelength > everything[len(lines)].d
    assert calibrant_lines("Si", (3, 99), energy_kev=13.5) == tuple(x for x in lines if x.q >= 3)


def test_all_of_pyfai_is_there_in_any_letters():
    assert {"LaB6", "CeO2", "Si", "AgBh"} <= set(calibrant_names())
    assert calibrant_name(" lab6 ") == "LaB6"
    for name in calibrant_names():
        assert calibrant_lines(name), name


def test_a_line_without_planes_is_called_by_its_q():
    line = calibrant_lines("mock")[0]
    assert line.hkl is None
    assert line.intensity is None
    assert line.label == CalibrantLine(line.q).label == "0.439"


def test_an_unknown_name_lists_those_that_are_near():
    with pytest.raises(CalibrantError, match="no calibrant is called 'LaB7'; did you mean LaB6 "):
        calibrant_lines("LaB7")
    with pytest.raises(CalibrantError, match="no calibrant is called 'xyzzy'; known are AgBh, Al,"):
        calibrant_lines("xyzzy")


def test_a_range_or_an_energy_that_is_none_is_refused():
    with pytest.raises(ValueError, match="from q = 3 to 2 1/A: the range must go upwards"):
        calibrant_lines("LaB6", (3, 2))
    for energy in (0, -1, math.nan):
        with pytest.raises(ValueError, match="must be a number above 0"):
            calibrant_lines("LaB6", energy_kev=energy)
