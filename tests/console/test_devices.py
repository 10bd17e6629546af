from __future__ import annotations

import pytest

from femto_bluesky.console.devices import DeviceError, Devices, Unreachable


def gone():
    raise TimeoutError("nothing at X:\nand more")


def test_what_answers_is_in_the_namespace_and_what_does_not_says_so():
    names = {}
    found = Devices({"cam": lambda: "a camera"}, {"delay": gone}, {}, names).connect()
    assert names["cam"] == found["cam"] == "a camera"
    assert isinstance(names["delay"], Unreachable)
    assert repr(names["delay"]) == "<delay does not answer: nothing at X:>"
    assert found.unreachable == {"delay": "nothing at X:"}
    assert repr(found).splitlines() == [
        "cameras  cam", "motors   delay", "delay does not answer: nothing at X:",
    ]  # fmt: skip
    with pytest.raises(DeviceError, match=r"delay does not answer \(nothing at X:\). Start what"):
        names["delay"].position  # noqa: B018 - asking is enough
    assert not hasattr(names["delay"], "_repr_html_")


def test_what_comes_later_takes_its_place():
    names, answers = {}, [gone]
    made = []

    def camera():
        made.append(True)
        return "camera"

    devices = Devices({"cam": camera}, {"delay": lambda: answers[-1]()}, {}, names).connect()
    answers.append(lambda: "motor")
    assert devices.connect().unreachable == {}
    assert names == {"cam": "camera", "delay": "motor"}
    assert made == [True], "what is there is left alone"


def test_all_are_asked_for_before_the_first_is_waited_for():
    said = []
    makes = {name: lambda name=name: said.append(name) for name in "abc"}
    devices = Devices(makes, {"delay": gone}, {}, {}, ask=lambda names: said.append(list(names)))
    devices.connect()
    assert said == [["a", "b", "c", "delay"], "a", "b", "c"]
    devices.connect()
    assert said[4:] == [["delay"]], "what is there is not asked for again"


def test_two_devices_of_one_name_are_refused():
    with pytest.raises(DeviceError, match="two devices are called beam; take another name"):
        Devices({"beam": gone}, {}, {"beam": gone}, {})
