"""Each law is broken on purpose, and must be seen to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from femto_bluesky.callbacks import Accumulation, RoiMeans
from femto_bluesky.model.outputs import Output
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.shots import DenseFrame
from femto_bluesky.stream.analysis import Analysis, AnalysisSettings
from femto_bluesky.testing.laws import LAWS, assert_laws, given_out, plain_parts, seen_by
from femto_bluesky.testing.shots import make_shots

ROIS = {"ROI 2": Roi(x0=1, y0=2, x1=5, y1=6)}
SHOTS = make_shots(("pilatus",), runs=("a", "b"))


class CountSettings(AnalysisSettings):
    power: int = 1


class Count(Analysis):
    """A law-abiding analysis as short as can be: how many shots each step has."""

    def __init__(self, power=1):
        super().__init__(CountSettings(power=power))
        self.seen = {}

    def update(self, shot):
        self.seen[shot.run, shot.number] = shot.step
        return shot

    def retract(self, shot):
        self.seen.pop((shot.run, shot.number), None)
        return shot

    def merge(self, other):
        self.seen.update(other.seen)

    def clear(self):
        self.seen.clear()

    def result(self):
        return len(self.seen) ** self.settings.power

    def outputs(self, detectors):
        return [Output("count", "primary", "", "shots", "integer")]

    def step_row(self, run, step):
        return {"count": sum((r, s) == (run, step) for (r, _), s in self.seen.items())}


def test_an_analysis_that_keeps_them():
    assert_laws(Count, SHOTS)
    assert_laws(Count(power=2), SHOTS)
    seen = seen_by(Count(), SHOTS)
    assert_laws(seen, SHOTS[:3])
    assert seen.result() == len(SHOTS), "the analysis itself is left as it is"


class RunningMean(Count):
    """A mean that is moved by each value depends on their order, in the last bits."""

    def __init__(self):
        super().__init__()
        self.mean, self.n = 0.0, 0

    def update(self, shot):
        value, self.n = float(shot.frame.pixels[0, 0]) + 0.1 * shot.number, self.n + 1
        self.mean += (value - self.mean) / self.n
        return super().update(shot)

    def merge(self, other):
        if other.n:
            n = self.n + other.n
            self.mean, self.n = (self.mean * self.n + other.mean * other.n) / n, n
        super().merge(other)

    def result(self):
        return self.mean

    def fresh(self):
        return type(self)()


class SharesWhatItMerges(Accumulation):
    def merge(self, other):
        if self._sum is None and other._sum is not None:
            self._sum = other._sum
        else:
            super().merge(other)


class ForgetsItsSettings(Count):
    def fresh(self):
        return type(self)()


class FreshHasSeen(Count):
    def fresh(self):
        new = super().fresh()
        new.seen = dict(self.seen)
        return new


class FreshShares(Count):
    def fresh(self):
        new = super().fresh()
        new.seen = self.seen
        return new


class ClearsNothing(Count):
    def clear(self):
        pass


class KeepsTheFrame(Count):
    def __init__(self):
        super().__init__()
        self.newest = None

    def update(self, shot):
        self.newest = shot.frame.pixels
        return super().update(shot)

    def fresh(self):
        return type(self)()

    def clear(self):
        super().clear()
        self.newest = None

    def result(self):
        return self.newest


class ChangesPixels(Count):
    def update(self, shot):
        shot.frame.pixels[shot.frame.pixels < 0] = 0
        return super().update(shot)


class ChangesTheMask(Count):
    def update(self, shot):
        shot.frame.mask[0, 0] = True
        return super().update(shot)


class ChangesLabels(Count):
    def update(self, shot):
        shot.labels["n"] = 1.0
        return super().update(shot)


class ChangesPosition(Count):
    def update(self, shot):
        shot.position["stage_x"] += 1
        return super().update(shot)


class HandsOnAnotherShot(Count):
    def update(self, shot):
        return replace(super().update(shot), number=shot.number + 1)


class HandsOnACrop(Count):
    def update(self, shot):
        return replace(super().update(shot), frame=DenseFrame(shot.frame.pixels[1:]))


class HandsOutItsOwnMemory(Accumulation):
    def result(self):
        found = super().result()
        return found and replace(found, image=self._sum.total)


class RetractsNothing(Count):
    def retract(self, shot):
        return shot


class KeepsTheFirst(RoiMeans):
    def retract(self, shot):
        return shot

    def update(self, shot):
        if not self.table.shot(shot.run, shot.number):
            super().update(shot)
        return shot


class SendsNothing(Count):
    def __getstate__(self):
        return super().__getstate__() | {"seen": {}}


class DeclaresNothing(Count):
    def outputs(self, detectors):
        return []


class GivesNothing(Count):
    def step_row(self, run, step):
        return {}


class DeclaresTwice(Count):
    def outputs(self, detectors):
        return 2 * super().outputs(detectors)


class DeclaresAnotherType(Count):
    def step_row(self, run, step):
        return {"count": float(super().step_row(run, step)["count"])}


class DeclaresForAnother(Count):
    def outputs(self, detectors):
        return [replace(output, detector="zyla") for output in super().outputs(detectors)]


class SaysItInAnotherStream(Count):
    def run_rows(self, run):
        return {"summary": {"n": self.result()}}


@pytest.mark.parametrize(
    ("broken", "law", "words"),
    [
        (RunningMean, "merging", "shots cut into the parts"),
        (SharesWhatItMerges, "merging", "what was merged changes with the part|cut into"),
        (lambda: ForgetsItsSettings(power=3), "clear", r"fresh\(\) keeps the settings"),
        (FreshHasSeen, "clear", r"fresh\(\) has seen nothing"),
        (FreshShares, "clear", r"fresh\(\) has seen nothing"),
        (ClearsNothing, "clear", r"clear\(\) equals fresh\(\)"),
        (KeepsTheFrame, "inputs", "frames are kept that the reader overwrites"),
        (ChangesPixels, "inputs", "has changed the pixels of a shot"),
        (ChangesTheMask, "inputs", "has changed the mask of a shot"),
        (ChangesLabels, "inputs", "has changed the labels of a shot"),
        (ChangesPosition, "inputs", "has changed the position of a shot"),
        (HandsOnAnotherShot, "inputs", "hands on another number"),
        (HandsOnACrop, "inputs", "hands on another shape"),
        (HandsOutItsOwnMemory, "inputs", "a result changes after it was given"),
        (RetractsNothing, "retraction", "shot 0 of a, taken back, was seen"),
        (lambda: KeepsTheFirst(ROIS), "retake", "taken again, is not the last one alone"),
        (SendsNothing, "pickling", "what is sent arrives"),
        (DeclaresNothing, "outputs", r"given but not declared are \['count'\]"),
        (GivesNothing, "outputs", r"declared but not given are \['count'\]"),
        (DeclaresTwice, "outputs", "has 'count' twice"),
        (DeclaresAnotherType, "outputs", "is declared as integer, but is 2.0"),
        (DeclaresForAnother, "outputs", "is of another detector"),
        (SaysItInAnotherStream, "outputs", r"stream 'summary': given but not declared are \['n'\]"),
    ],
)
def test_a_broken_law_is_noticed(broken, law, words):
    shots = make_shots(("pilatus",), runs=("a", "b"))  # these break, so they are not shared
    with pytest.raises(AssertionError, match=words):
        assert_laws(broken, shots, laws=[law])


def test_there_is_a_breach_of_every_law():
    [mark] = test_a_broken_law_is_noticed.pytestmark
    assert {law for _, law, _ in mark.args[1]} == LAWS.keys()


def test_the_wrong_questions_are_refused():
    with pytest.raises(ValueError, match=r"there are no laws \['speed'\]; there are \['clear'"):
        assert_laws(Count, SHOTS, laws=["speed", "clear"])
    with pytest.raises(ValueError, match="no shots, and they would prove nothing"):
        assert_laws(Count, [])


@dataclass
class Found:
    image: np.ndarray
    parts: dict


def test_results_are_taken_apart_and_copied():
    image = np.zeros(3)
    found = plain_parts([Found(image, {"a": (image, 1)})])
    image[:] = 1
    assert found[0]["type"] == "Found"
    assert (found[0]["image"] == 0).all()
    assert isinstance(found[0]["parts"]["a"], tuple)
    assert (found[0]["parts"]["a"][0] == 0).all()


class Groups(Count):
    def groups(self):
        one = DataGroup("a", "", Quantity("y", np.zeros(2)), (Quantity("x", np.zeros(2)),))
        return [one, one]


def test_groups_have_their_own_paths():
    with pytest.raises(AssertionError, match=r"groups have one path: \['a', 'a'\]"):
        given_out(Groups(), SHOTS)
