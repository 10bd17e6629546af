"""Settings that are changed at random while frames come, as people do at a prompt and on a page."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.console.sums import Sums
from femto_bluesky.model.rois import Roi
from tests.soak.beamline import Beamline
from tests.soak.meddling import Action

MOST_REGIONS = 6


class Changes:
    """What somebody may change; half of it waits for shots that have come, half does not."""

    def __init__(self, beamline: Beamline) -> None:
        self._live = beamline.live
        self._rows, self._columns = beamline.shape
        self._sums = Sums(beamline.live)
        self._number = 0

    @property
    def actions(self) -> list[Action]:
        """All of them; regions more often than others."""
        return [
            self.region_added, self.region_moved, self.region_moved, self.region_removed,
            self.thresholds_changed, self.counting_stopped_and_started, self.sum_stopped,
            self.sum_started, self.sum_begun_anew, self.reset_undone,
        ]  # fmt: skip

    def region_added(self, rng: random.Random) -> None:
        """One more region, anywhere."""
        self._number += 1
        rois = dict(self._live.rois.settings.rois)
        if len(rois) < MOST_REGIONS:
            self._configure(rng, {"rois": rois | {f"region {self._number}": self._box(rng)}})

    def region_moved(self, rng: random.Random) -> None:
        """A region elsewhere, under the same name."""
        rois = dict(self._live.rois.settings.rois)
        self._configure(rng, {"rois": rois | {rng.choice(sorted(rois)): self._box(rng)}})

    def region_removed(self, rng: random.Random) -> None:
        """A region less; one is left."""
        rois = dict(self._live.rois.settings.rois)
        if len(rois) > 1:
            del rois[rng.choice(sorted(rois))]
            self._configure(rng, {"rois": rois})

    def thresholds_changed(self, rng: random.Random) -> None:
        """Another photon from now on; those of the stamps stay photons."""
        photons = {
            "energy_min_adu": rng.uniform(500, 1000),
            "pixel_threshold_adu": rng.uniform(110, 200),
            "overlap_adu": rng.uniform(1350, 1500),
        }
        self._configure(rng, {"photons": photons})

    def counting_stopped_and_started(self, rng: random.Random) -> None:
        """No photons are looked for, for a moment."""
        self._configure(rng, {"photons": {"counting": False}})
        self._configure(rng, {"photons": {"counting": True}})

    def sum_stopped(self, rng: random.Random) -> None:
        """No more frames are added."""
        self._sums.stop_accumulation()

    def sum_started(self, rng: random.Random) -> None:
        """Frames are added."""
        self._sums.start_accumulation()

    def sum_begun_anew(self, rng: random.Random) -> None:
        """The sum begins anew, whatever it is."""
        self._live.accumulation().reset()

    def reset_undone(self, rng: random.Random) -> None:
        """What was reset a moment ago comes back."""
        self._sums.start_accumulation()
        self._sums.reset_accumulation()
        with suppress(ConsoleError):  # nothing was in the sum
            self._sums.undo_reset()

    def _configure(self, rng: random.Random, changes: Mapping[str, Any]) -> None:
        if rng.random() < 0.5:
            self._live.configure(changes)  # waits for all shots that have come, as at the prompt
        else:
            with self._live.shell.lock:  # between two shots, as from a page
                self._live.configure(changes)

    def _box(self, rng: random.Random) -> Roi:
        x0, y0 = rng.randrange(self._columns - 20), rng.randrange(self._rows - 20)
        x1, y1 = rng.randrange(x0 + 10, self._columns), rng.randrange(y0 + 10, self._rows)
        return Roi(x0=x0, y0=y0, x1=x1, y1=y1)
