"""What listens to the scans of a session: the analysis, its plots and tables, its catalog."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bluesky import RunEngine
from bluesky.callbacks.best_effort import BestEffortCallback

from femto_bluesky.callbacks import DarkCollection, LiveAnalysis, StepMeansPlot
from femto_bluesky.console.dark_use import tell_of
from femto_bluesky.console.devices import Devices
from femto_bluesky.console.settings import BeamlineSettings
from femto_bluesky.devices.photon_witness import PhotonWitness
from femto_bluesky.sources.catalogs import Catalog


@dataclass(frozen=True, slots=True)
class Analyses:
    """The analysis and who listens to it."""

    live: LiveAnalysis
    bec: BestEffortCallback
    derived_bec: BestEffortCallback
    plot: StepMeansPlot
    darks: DarkCollection
    witness: PhotonWitness


def start_analyses(
    engine: RunEngine, catalog: Catalog, devices: Devices, settings: BeamlineSettings
) -> Analyses:
    """Subscribe the analysis to the engine, and tables, plots and the catalog to the analysis.

    Of the raw run `bec` prints the heading, of the derived run `derived_bec` the table: two tables
    at once would be printed into each other (`bec.enable_table()` has the raw one too).
    """
    bec, derived_bec = BestEffortCallback(), BestEffortCallback()
    bec.disable_table()
    derived_bec.disable_heading()
    engine.subscribe(bec)
    darks = DarkCollection()
    engine.subscribe(darks)
    darks.subscribe(tell_of(darks))
    live = LiveAnalysis(
        settings.rois, geometries=settings.geometries, directory=settings.folder("process")
    )
    witness = PhotonWitness(live)
    witness.subscribe_to(engine)
    devices.keep_photons_with(witness)
    plot = StepMeansPlot(errors=settings.errors)
    live.subscribe(catalog.writer)
    live.subscribe(maps_only(derived_bec), "start")
    live.subscribe(primary_only(derived_bec))
    live.subscribe(plot)
    return Analyses(live, bec, derived_bec, plot, darks, witness)


def maps_only(callback: BestEffortCallback) -> Callable[[str, Any], None]:
    """What has a table callback draw runs of two motors only; it is given the start documents.

    Curves are left to `StepMeansPlot`, which has error bars: a second window would show the same
    without them.
    """

    def choose(name: str, doc: Any) -> None:
        if len(doc.get("hints", {}).get("dimensions", ())) == 2:
            callback.enable_plots()
        else:
            callback.disable_plots()

    return choose


def primary_only(callback: Callable[[str, Any], object]) -> Callable[[str, Any], None]:
    """What hands only the steps to a callback: a table says of each other stream that it is new."""
    others: set[str] = set()

    def choose(name: str, doc: Any) -> None:
        if name == "start":
            others.clear()
        elif name == "descriptor" and doc["name"] != "primary":
            others.add(doc["uid"])
        if (doc["uid"] if name == "descriptor" else doc.get("descriptor")) not in others:
            callback(name, doc)

    return choose
