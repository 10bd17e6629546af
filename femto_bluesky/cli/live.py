"""The command `live`: analysis and page in a process of its own, beside that of the RunEngine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console

from femto_bluesky.cli.catalogs import PathMap, mapped
from femto_bluesky.cli.options import (
    CalibrantName,
    GeometryFile,
    Out,
    Rois,
    SettingsFile,
    settings_of,
    with_geometry,
)
from femto_bluesky.cli.serving import Host, Port, serving, stop_asked
from femto_bluesky.cli.shared import made, told


def live(
    documents: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="where documents come from: the exit of bluesky-0MQ-proxy, tcp://HOST:PORT",
        ),
    ],
    prefix: Annotated[
        str, typer.Option(help="take only what a Publisher with this prefix sends")
    ] = "",
    settings: SettingsFile = None,
    roi: Rois = None,
    geometry: GeometryFile = None,
    calibrant: CalibrantName = None,
    out: Out = None,
    path_map: PathMap = None,
    host: Host = None,
    port: Port = None,
) -> None:
    """Analyse the runs of a RunEngine elsewhere while they are taken, and show them in a browser.

    Frames are read from the files that the documents name. It goes on until Ctrl-C.
    """
    from femto_bluesky.callbacks import LiveAnalysis
    from femto_bluesky.callbacks.result_files import ResultFiles
    from femto_bluesky.sources.documents import with_stops
    from femto_bluesky.sources.moved import moved
    from femto_bluesky.sources.zeromq import check_address, published

    with told():
        check_address(documents)
        wanted = with_geometry(settings_of(settings, roi), geometry, calibrant)
        folders = mapped(path_map)
        # without --out nothing is left anywhere, no photon file beside the raw ones either
        analysis = LiveAnalysis(**wanted, directory=made(out), photon_files=out is not None)
        if out is not None:
            analysis.subscribe(ResultFiles(analysis, out))
        analysis.subscribe(_tell)
    with serving(analysis, host, port), stop_asked() as asked, told():
        coming = moved(published(documents, prefix=prefix, stop=asked), folders)
        for name, document in with_stops(coming, ending=lambda: "the analysis was stopped"):
            analysis(name, document)


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
