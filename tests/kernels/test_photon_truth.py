"""What is found on simulated frames, held against what was put in.

Definitions. Found photons are the hits that are not flagged HOT. They are paired with the true ones
one to one, up to 1 px apart, the nearest first. The *efficiency* is the share of all true photons
that have a partner: those on the rim of the sensor count, and so do those that fell so close to
another one that both are one spot. Two photons in one 3x3 cannot be two maxima of 3x3 pixels:
whatever looks for those misses at least one of them. At 1e5 photons a frame that alone is 2.6 % of
all; the efficiency of photons with no other one in their 3x3 says what the finder itself misses:
0.4 % with a halo and 0.7 % of the wide cloud, mostly where the pixel between two photons is the
brightest.

Positions and energies are those of photons in a pair, per axis, as root of the mean square. Frames
are whole ones of the Balor, read noise only, unless a test says otherwise.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial import cKDTree

from femto_bluesky.kernels.photons import HOT, OVERLAP, PhotonSearch
from femto_bluesky.model import eta
from femto_bluesky.model.detectors import PhotonFinding
from femto_bluesky.model.photons import PhotonCounter, expected_overlap_share
from femto_bluesky.simulation.photons import BalorFrames, BalorSettings
from femto_bluesky.testing.photons import Match, match

# The two clouds of charge that bracket the camera's; sigma in pixels.
CLOUDS: dict[str, dict[str, float]] = {
    "with a halo": {"cloud_sigma_px": 0.45, "halo_sigma_px": 1.2, "halo_share": 0.06},
    "wide": {"cloud_sigma_px": 0.55, "halo_share": 0.0},
}
SEEDS, FRAMES_OF_ONE = (0, 1, 2, 3), 5  # of each seed so many frames of 1000 photons

clouds = pytest.mark.parametrize("cloud", CLOUDS)


@dataclasses.dataclass(frozen=True)
class Seen:
    """One frame: the true photons, all hits, the photons among them, and which is which."""

    frames: BalorFrames
    truth: Any
    hits: Any
    photons: Any
    pairs: Match

    @property
    def found(self) -> Any:
        return self.photons[self.pairs.found]

    @property
    def true(self) -> Any:
        return self.truth[self.pairs.truth]

    @property
    def is_clean(self) -> Any:
        """Of each pair, whether the found photon has no flag."""
        return self.found["flags"] == 0


def seen(settings: BalorSettings, index: int = 0) -> Seen:
    frames = BalorFrames(settings)
    truth, hits = frames.truth(index), PhotonSearch().find(frames(index))
    photons = hits[(hits["flags"] & HOT) == 0]
    return Seen(frames, truth, hits, photons, match(photons, truth, 1.0))


@functools.cache
def sparse_frames(cloud: str) -> list[Seen]:
    """Twenty frames of 1000 photons."""
    return [
        seen(BalorSettings(n_photons=1000, is_exact=True, seed=seed, **CLOUDS[cloud]), index)
        for seed in SEEDS
        for index in range(FRAMES_OF_ONE)
    ]


@functools.cache
def full_frames(cloud: str) -> list[Seen]:
    """Four frames of 1e5 photons."""
    return [
        seen(BalorSettings(n_photons=1e5, is_exact=True, seed=seed, **CLOUDS[cloud]))
        for seed in SEEDS
    ]


@pytest.fixture(scope="module", autouse=True)
def _forget() -> Iterator[None]:
    yield
    sparse_frames.cache_clear()
    full_frames.cache_clear()


def efficiency(all_seen: list[Seen]) -> float:
    return float(np.mean([one.pairs.efficiency for one in all_seen]))


def pooled(all_seen: list[Seen]) -> tuple[Any, Any, Any]:
    """Found and true photons of the pairs of all frames, and which have no flag."""
    return (
        np.concatenate([one.found for one in all_seen]),
        np.concatenate([one.true for one in all_seen]),
        np.concatenate([one.is_clean for one in all_seen]),
    )


def rms(found: Any, true: Any) -> Any:
    """On each axis."""
    return np.array([np.sqrt(np.mean((found[axis] - true[axis]) ** 2)) for axis in ("y", "x")])


def is_alone(truth: Any) -> Any:
    """Of each true photon, whether no other one fell into its 3x3."""
    pixels = np.floor(np.stack([truth["y"], truth["x"]], axis=1) + 0.5)
    distances, _ = cKDTree(pixels).query(pixels, k=2, p=np.inf)
    return distances[:, 1] > 1


# --- 1000 photons a frame ------------------------------------------------------------------------


@clouds
def test_few_photons_are_found(cloud: str) -> None:
    assert efficiency(sparse_frames(cloud)) >= 0.999


@clouds
def test_no_photon_is_counted_twice_and_nothing_else_is_counted(cloud: str) -> None:
    for one in sparse_frames(cloud):
        assert (one.pairs.n_double, one.pairs.n_ghosts) == (0, 0)
        assert len(one.photons) + len(one.pairs.missed) == 1000


@clouds
def test_no_isolated_hot_pixel_is_taken_for_a_photon(cloud: str) -> None:
    """Each that stands out enough to be a hit is one, flagged HOT and so no photon."""
    n_bright = 0
    for one in sparse_frames(cloud):
        rows, columns = one.frames.hot_pixels
        places = np.stack([rows, columns], axis=1).astype(float)
        found, hits = (np.stack([p["y"], p["x"]], axis=1) for p in (one.photons, one.hits))
        true = np.stack([one.truth["y"], one.truth["x"]], axis=1)
        is_isolated = cKDTree(true).query(places)[0] > 5
        assert (cKDTree(found).query(places)[0][is_isolated] > 2).all()
        # those that fire in a frame are chosen by chance; a bright one that fires is a hit
        is_hit = cKDTree(hits).query(places)[0] < 1
        n_bright += np.count_nonzero(is_hit & is_isolated)
    assert n_bright > 20 * 15


@clouds
def test_energies_are_right(cloud: str) -> None:
    """Of photons without a flag, and of all, where overlaps hold the energy of two."""
    found, true, is_clean = pooled(sparse_frames(cloud))
    excess = found["energy"] - true["energy"]
    assert abs(excess[is_clean].mean()) <= 2
    assert abs(excess.mean()) <= 2


@clouds
def test_raw_positions(cloud: str) -> None:
    found, true, is_clean = pooled(sparse_frames(cloud))
    assert is_clean.mean() > 0.99
    assert (rms(found, true) <= 0.03).all()
    assert (rms(found[is_clean], true[is_clean]) <= 0.03).all()


@clouds
def test_positions_corrected_by_what_the_photons_teach(cloud: str) -> None:
    """Learned from the photons of the twenty frames; those with a flag are not corrected."""
    found, true, is_clean = pooled(sparse_frames(cloud))
    counts = sum(eta.count_offsets(one.photons) for one in sparse_frames(cloud))
    corrected = eta.correct(found, counts)
    assert (rms(corrected[is_clean], true[is_clean]) <= 0.009).all()


@clouds
def test_a_correction_serves_frames_that_it_was_not_learned_from(cloud: str) -> None:
    frames = sparse_frames(cloud)
    counts = sum(eta.count_offsets(one.photons) for one in frames[:10])
    found, true, is_clean = pooled(frames[10:])
    corrected = eta.correct(found, counts)
    assert (rms(corrected[is_clean], true[is_clean]) <= 0.012).all()


# --- 1e5 photons a frame -------------------------------------------------------------------------


def test_many_photons_are_found() -> None:
    """0.9699 with a halo; the wide cloud smears more pairs into one spot: 0.9675.

    With both, 0.9740 is the most that whatever looks for 3x3 maxima could reach.
    """
    assert efficiency(full_frames("with a halo")) >= 0.9695
    assert efficiency(full_frames("wide")) >= 0.967


@clouds
def test_of_many_photons_those_without_another_one_in_their_3x3_are_found(cloud: str) -> None:
    for one in full_frames(cloud):
        alone = is_alone(one.truth)
        is_found = np.zeros(len(one.truth), bool)
        is_found[one.pairs.truth] = True
        assert is_found[alone].mean() >= 0.99
        # what no finder of 3x3 maxima can reach
        assert one.pairs.efficiency < 1 - (1 - alone.mean()) / 2 + 1e-3


@clouds
def test_energy_tells_how_many_there_are(cloud: str) -> None:
    """Counted by hits they are 3 % too few, in units of a photon's energy half a percent."""
    counter = PhotonCounter(PhotonFinding(), 100.0)
    for one in full_frames(cloud):
        assert abs(counter.count_by_energy(one.photons) / len(one.truth) - 1) <= 0.01
        assert -0.04 <= len(one.photons) / len(one.truth) - 1 <= -0.025


@clouds
def test_many_photons_are_hardly_ever_counted_twice(cloud: str) -> None:
    for one in full_frames(cloud):
        assert one.pairs.n_double + one.pairs.n_ghosts <= 3


@clouds
def test_overlaps_are_flagged(cloud: str) -> None:
    """Where two true photons fell into one 3x3, the energy says so."""
    for one in full_frames(cloud):
        missed = one.truth[one.pairs.missed]
        missed = missed[~is_alone(one.truth)[one.pairs.missed]]
        hits = cKDTree(np.stack([one.photons["y"], one.photons["x"]], axis=1))
        _, nearest = hits.query(np.stack([missed["y"], missed["x"]], axis=1))
        assert (one.photons["flags"][nearest] & OVERLAP != 0).mean() >= 0.97
        share = expected_overlap_share(one.truth, (4104, 4128))
        assert 1 - is_alone(one.truth).mean() == pytest.approx(share, rel=0.03)


@clouds
def test_positions_of_many_photons(cloud: str) -> None:
    """The correction is known the better, the more photons it is learned from."""
    [one] = full_frames(cloud)[:1]
    corrected = eta.correct(one.found, eta.count_offsets(one.photons))
    assert (rms(corrected[one.is_clean], one.true[one.is_clean]) <= 0.009).all()


# --- A camera with more faults -------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_dark_levels_that_differ_are_taken_off_pixel_by_pixel(seed: int) -> None:
    """With one level for all, the energies are spread; with the image they are not."""
    frames = BalorFrames(
        BalorSettings(
            shape=(500, 600), n_photons=1000, dark_spread_adu=15, n_hot_pixels=0, seed=seed
        )
    )
    frame, truth = frames(0), frames.truth(0)
    spread = {}
    for name, dark in (("level", 100.0), ("image", frames.dark)):
        photons = PhotonSearch(dark).find(frame)
        pairs = match(photons, truth, 1.0)
        is_clean = photons["flags"][pairs.found] == 0
        excess = (photons["energy"][pairs.found] - truth["energy"][pairs.truth])[is_clean]
        spread[name] = excess.std()
        assert pairs.n_ghosts == 0
    assert spread["image"] < 0.6 * spread["level"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mask_leaves_out_the_hot_pixels(seed: int) -> None:
    settings = BalorSettings(
        shape=(500, 600), n_photons=300, n_hot_pixels=200, hot_share_of_frames=(1, 1),
        hot_excess_adu=(900, 3000), seed=seed,
    )  # fmt: skip
    frames = BalorFrames(settings)
    frame, truth = frames(0), frames.truth(0)
    assert np.count_nonzero(PhotonSearch().find(frame)["flags"] & HOT) > 190
    mask = np.zeros(settings.shape, bool)
    mask[frames.hot_pixels] = True
    masked = PhotonSearch(mask=mask).find(frame)
    # a photon of which only what beside a masked pixel is left may look like a hot one
    assert np.count_nonzero(masked["flags"] & HOT) <= 2
    assert match(masked, truth, 1.5).n_ghosts == 0


@clouds
def test_electron_statistics_cost_precision_but_no_photons(cloud: str) -> None:
    settings = BalorSettings(
        shape=(2000, 2000), n_photons=5000, is_exact=True, has_electron_statistics=True,
        **CLOUDS[cloud],
    )  # fmt: skip
    one = seen(settings)
    assert one.pairs.efficiency >= 0.99
    corrected = eta.correct(one.found, eta.count_offsets(one.photons))
    assert (rms(corrected[one.is_clean], one.true[one.is_clean]) <= 0.02).all()
