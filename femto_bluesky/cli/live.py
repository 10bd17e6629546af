"""The command `live`: analysis and page in a process of its own, beside that of the RunEngine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from femto_bluesky.cli.catalogs import PathMap, mapped
from femto_bluesky.cli.keeping import Restore, keeping
from femto_bluesky.cli.options import (
    CalibrantName,
    GeometryFile,
    Out,
    Rois,
    SettingsFile,
    analysis_of,
)
from femto_bluesky.cli.serving import Host, Port, serving, stop_asked
from femto_bluesky.cli.shared import told

if TYPE_CHECKING:
    from femto_bluesky.sources.documents import Document


def live(
    documents: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="where documents come from: the exit of bluesky-0MQ-proxy, tcp://HOST:PORT, or a "
            "topic of Kafka, kafka://HOST:PORT/TOPIC",
        ),
    ],
    prefix: Annotated[
        str, typer.Option(help="through 0MQ, take only what a Publisher with this prefix sends")
    ] = "",
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    out: Out = None,
    restore: Restore = False,
    path_map: PathMap = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Analyse the runs of a RunEngine elsewhere while they are taken, and show them in a browser.

    Frames are read from the files that the documents name. It goes on until Ctrl-C. With --out, the
    running sums are kept there, so that they survive whatever ends it.
    """
    from femto_bluesky.callbacks.derived_files import STOPPED
    from femto_bluesky.callbacks.result_files import ResultFiles
    from femto_bluesky.sources.documents import with_stops
    from femto_bluesky.sources.moved import moved

    with told():
        published = _source(documents, prefix)
        folders = mapped(path_map)
        analysis = analysis_of(settings, roi, geometry, calibrant, out)
        if out is not None:
            analysis.subscribe(ResultFiles(analysis, out))
        analysis.subscribe(_tell)
        keeper = keeping(analysis, out, restore=restore)
    with keeper, serving(analysis, host, port), stop_asked() as asked, told():
        coming = moved(published(asked), folders)
        for name, document in with_stops(coming, ending=lambda: STOPPED):
            analysis(name, document)


def _source(address: str, prefix: str) -> Callable[[threading.Event], Iterator[Document]]:
    """What gives the documents that come from an address, until the event is set.

    Raises `PublishedError` and `ModuleNotFoundError` where none can come from there.
    """
    from femto_bluesky.sources import kafka, zeromq

    if address.startswith("kafka:"):
        if prefix:
            raise ValueError("--prefix parts publishers of 0MQ; through Kafka, give them topics")
        kafka.check_address(address)
        return lambda stop: kafka.published(address, stop=stop)
    zeromq.check_address(address)
    return lambda stop: zeromq.published(address, prefix=prefix, stop=stop)


def _tell(name: str, document: Mapping[str, Any]) -> None:
    """Say in a line that a run has begun or ended."""
    console = Console(soft_wrap=True)
    if name == "start":
        number = document.get("scan_id", document["original_run_uid"][:8])
        console.print(f"scan {number}: {document.get('plan_name', 'begun')}", highlight=False)
    elif name == "stop":
        reason = f", {document['reason']}" if document.get("reason") else ""
        n_events = (document.get("num_events") or {}).get("primary", 0)
        console.print(
            f"  {document['exit_status']}, {n_events} steps{reason}", highlight=False, markup=False
        )
    console.file.flush()
