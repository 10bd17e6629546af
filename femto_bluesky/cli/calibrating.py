"""The command that refines a geometry on the rings of a powder: `calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from femto_bluesky.cli.catalogs import CatalogName, PathMap, documents_from, mapped
from femto_bluesky.cli.replaying import Sources
from femto_bluesky.cli.shared import finish, made, progress_bar, told

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from femto_bluesky.model.geometry import Geometry
    from femto_bluesky.model.sums import AccumulatedImage

_NAMES = {
    "energy_kev": "--energy",
    "distance_m": "--distance",
    "x0_px": "--x0",
    "y0_px": "--y0",
}


def calibrate(
    sources: Sources,
    out: Annotated[Path, typer.Option(help="where the .poni and the picture are left")],
    calibrant: Annotated[
        str, typer.Option(help="the powder: LaB6, CeO2, Si, AgBh or another of pyFAI's")
    ] = "LaB6",
    geometry: Annotated[
        Path | None,
        typer.Option(help="where to start: a .poni file, or settings in JSON or YAML"),
    ] = None,
    energy: Annotated[
        float | None, typer.Option(metavar="KEV", help="or so: photon energy")
    ] = None,
    distance: Annotated[
        float | None, typer.Option(metavar="M", help="sample to detector, along the beam")
    ] = None,
    x0: Annotated[
        float | None, typer.Option(metavar="PX", help="column of the beam, pixel i from i to i + 1")
    ] = None,
    y0: Annotated[float | None, typer.Option(metavar="PX", help="row of the beam")] = None,
    pixel: Annotated[
        float | None,
        typer.Option(metavar="UM", help="side of a pixel in micrometres, where no run says it"),
    ] = None,
    refine_energy: Annotated[
        bool, typer.Option("--refine-energy", help="refine the energy too")
    ] = False,
    fix: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="leave as it is: distance, centre or tilt"),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option(help="a mask, not 0 where a pixel carries no data (.npy, .edf, .tif, HDF5)"),
    ] = None,
    detector: Annotated[
        str | None, typer.Option(help="the detector, where a run has several")
    ] = None,
    catalog: CatalogName = None,
    path_map: PathMap = None,
) -> None:
    """Refine where a detector stands on the rings of a powder: writes a .poni and a picture.

    Sources are what `replay` takes, whose images are added up, or one file of an image (.npy, .edf,
    .tif, HDF5).
    """
    with told():
        from femto_bluesky.files.geometries import write_poni
        from femto_bluesky.files.masks import read_masks
        from femto_bluesky.files.names import new_path
        from femto_bluesky.model.calibrants import calibrant_name
        from femto_bluesky.model.sums import AccumulatedImage
        from femto_bluesky.offline.calibration import calibrate as refined_on
        from femto_bluesky.offline.calibration_picture import draw_calibration

        name = calibrant_name(calibrant)
        given = {"energy_kev": energy, "distance_m": distance, "x0_px": x0, "y0_px": y0}
        _check_start(geometry, given)
        refine = _refined(fix or [], refine_energy)
        made(out)
        image = _image(sources, detector, catalog, path_map)
        start = _start(geometry, given, pixel, image)
        pixels = image.image if isinstance(image, AccumulatedImage) else image
        left_out = read_masks(mask, (pixels.shape[0], pixels.shape[1])) if mask else None
        found = refined_on(image, name, start=start, refine=refine, mask=left_out)
        Console(soft_wrap=True).print(found.summary(), highlight=False)
        poni = new_path(out, f"calibration_{name}", "poni")
        write_poni(poni, found.geometry, shape=pixels.shape, calibrant=name)
        picture = new_path(out, f"calibration_{name}", "png")
        if isinstance(image, AccumulatedImage):
            left_out = image.mask if left_out is None else left_out | image.mask
        draw_calibration(found, pixels, picture, mask=left_out)
    finish([poni, picture], [], [])


def _check_start(geometry: Path | None, given: dict[str, float | None]) -> None:
    """Raise `ValueError` unless the start is given in one of the two ways."""
    there = [_NAMES[name] for name, value in given.items() if value is not None]
    missing = [_NAMES[name] for name, value in given.items() if value is None]
    if geometry is not None and there:
        raise ValueError(
            f"--geometry and {', '.join(there)} are given; give the start either as a file or as "
            "numbers"
        )
    if geometry is None and missing:
        raise ValueError(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; give all four "
            "numbers of the start, or --geometry FILE"
        )


def _refined(fix: list[str], refine_energy: bool) -> tuple[str, ...]:
    from femto_bluesky.offline.calibration import REFINED

    unknown = sorted(set(fix) - set(REFINED))
    if unknown:
        raise ValueError(f"--fix {unknown[0]}: expected one of {', '.join(REFINED)}")
    words = tuple(word for word in REFINED if word not in fix)
    return words + ("energy",) * refine_energy


def _image(
    sources: list[str], detector: str | None, catalog: str | None, path_map: list[str] | None
) -> NDArray[Any] | AccumulatedImage:
    """The image of a file, or the sum of all images of the runs."""
    from femto_bluesky.files.arrays import read_image
    from femto_bluesky.files.image_formats import is_image_file

    files = [source for source in sources if catalog is None and is_image_file(source)]
    if files:
        if len(sources) > 1:
            raise ValueError(
                f"{files[0]} is an image and other sources are given too; calibrate on one image, "
                "or on runs"
            )
        return read_image(files[0], "image of a powder")
    from femto_bluesky.callbacks import LiveAnalysis
    from femto_bluesky.sources.replay import replay

    live = LiveAnalysis(photon_files=False)
    with progress_bar() as bar:
        task = bar.add_task("documents", total=None)

        def advance(name: str, document: Any) -> None:
            bar.advance(task)

        replay(documents_from(sources, catalog, mapped(path_map)), advance, live)
    results: dict[str, AccumulatedImage | None] = live.accumulations.result()
    sums = {name: found for name, found in results.items() if found is not None}
    if detector is None and len(sums) == 1:
        (detector,) = sums
    if detector not in sums:
        there = f"there are {sorted(sums)}" if sums else "there are no images"
        wanted = f"no images of {detector!r}" if detector else "which detector is meant is not said"
        raise ValueError(f"{wanted}: {there}; name one with --detector")
    return sums[detector]


def _start(
    path: Path | None,
    given: dict[str, float | None],
    pixel_um: float | None,
    image: NDArray[Any] | AccumulatedImage,
) -> Geometry:
    """The geometry to start from, with the pixels of the run where it says them."""
    from femto_bluesky.files.geometries import read_geometry
    from femto_bluesky.model.geometry import Geometry
    from femto_bluesky.model.sums import AccumulatedImage

    known = image.pixel_size_m if isinstance(image, AccumulatedImage) else None
    size = (pixel_um * 1e-6, pixel_um * 1e-6) if pixel_um is not None else known
    if path is not None:
        start = read_geometry(path)
        if size is not None and any(
            abs(one / other - 1) > 1e-3 for one, other in zip(size, start.pixel_size_m, strict=True)
        ):
            raise ValueError(
                f"{path}: has pixels of {start.pixel_size_m} m, the images have {size} m; it is "
                "the geometry of another detector"
            )
        return start
    if size is None:
        raise ValueError(
            "nothing says how large the pixels are; give --pixel UM, or --geometry FILE"
        )
    return Geometry.model_validate({**given, "pixel_size_m": size})
