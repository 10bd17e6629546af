"""What the tests of plans scan with, and a way to pause them where it hurts."""

from __future__ import annotations

import itertools

import numpy as np
from bluesky import Msg
from bluesky import preprocessors as bpp
from ophyd import Component, Device, DeviceStatus, Signal

from femto_bluesky.devices.simulated import SimulatedDetector, SimulatedMotor


def numbered(index, position):
    """A frame like no other: its index and position can be read off it."""
    frame = np.arange(24, dtype=np.uint16).reshape(4, 6) + np.uint16(100 * index)
    frame[0, 0] = round(10 * position)
    return frame


def make_motor(name="stage_x"):
    return SimulatedMotor(name=name)


def make_detector(directory, name="pilatus", **given):
    given = {"num_images": 7, "style": "stream", "source": numbered} | given
    return SimulatedDetector(name=name, directory=directory, **given)


class Cam(Device):
    num_images = Component(Signal, value=1, kind="config")


class CamDetector(Device):
    """The burst length is the camera's, as an areaDetector has it; notes what it is asked for."""

    cam = Component(Cam)
    total = Component(Signal, value=0.0, kind="hinted")

    def __init__(self, name):
        super().__init__(name=name)
        self.taken = []
        self.fails_at = None

    def trigger(self):
        self.taken.append(self.cam.num_images.get())
        status = DeviceStatus(self)
        if len(self.taken) == self.fails_at:
            status.set_exception(RuntimeError("the camera is gone"))
        else:
            status.set_finished()
        return status


def paused_before(plan, command, number=0):
    """The plan with a hard pause before the message `number` (from 0) of a command."""
    seen = itertools.count()

    def insert(message):
        if message.command != command or next(seen) != number:
            return None, None

        def pause():
            yield Msg("pause", None, defer=False)
            return (yield message)

        return pause(), None

    return bpp.plan_mutator(plan, insert)


def named(docs, name):
    return [doc for kind, doc in docs if kind == name]
