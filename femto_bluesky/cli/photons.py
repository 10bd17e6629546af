"""The commands that work on raw files of photon-counting cameras: `photons` and `hot-pixels`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from femto_bluesky.cli.shared import in_words, made, progress_bar, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings
    from femto_bluesky.offline import CountedFile

INTERRUPTED = 130
"""The exit code that shells give to what Ctrl-C has ended."""

RawFiles = Annotated[
    list[Path], typer.Argument(help="raw HDF5 files with frames", show_default=False)
]
Dataset = Annotated[
    str | None, typer.Option(help="the dataset of frames, where a file holds several")
]
DarkLevel = Annotated[float | None, typer.Option("--dark", help="dark level in ADU")]


def photons(
    files: RawFiles,
    dataset: Dataset = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="whose defaults hold, by the name it has in documents; else that of the "
            "settings, else andor3_balor",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="settings of PhotonDetection, JSON or YAML")
    ] = None,
    dark: DarkLevel = None,
    dark_file: Annotated[
        Path | None, typer.Option(help="an image of dark levels (.npy) instead of one level")
    ] = None,
    hot_pixels: Annotated[
        Path | None, typer.Option(help="a mask of hot pixels (.npy), as `hot-pixels` learns it")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="raw value that the hottest pixel is above, in ADU")
    ] = None,
    energy_min: Annotated[
        float | None, typer.Option(help="a 3x3 sum, less dark, above this is a photon, in ADU")
    ] = None,
    roi: Annotated[
        str | None, typer.Option(metavar="x0,y0,x1,y1", help="look here only; half open")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="where photon files go; else process/xye in the place of raw"),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="how many look for photons; else one a processor")
    ] = None,
) -> None:
    """Find single photons in raw files: one photon file for each."""
    from femto_bluesky.offline import Workers, count_photons

    with told():
        given = {
            "dark_adu": dark,
            "dark_file": dark_file,
            "hot_pixel_file": hot_pixels,
            "pixel_threshold_adu": threshold,
            "energy_min_adu": energy_min,
        }
        known = _settings(settings, {k: v for k, v in given.items() if v is not None}, roi)
        made(out)
    problems: list[Exception] = []
    with Workers(processes or len(os.sched_getaffinity(0))) as workers:
        for path in files:
            try:
                with _bar(path.name) as progress:
                    found = count_photons(
                        path, settings=known, detector=detector, dataset=dataset, out=out,
                        workers=workers, progress=progress,
                    )  # fmt: skip
                _tell(found)
            except KeyboardInterrupt:
                Console(stderr=True, soft_wrap=True).print(
                    f"stopped at {path}; the photons that were found until then are kept",
                    highlight=False,
                )
                raise typer.Exit(INTERRUPTED) from None
            except (OSError, ValueError, TypeError, RuntimeError) as error:
                problems.append(error)
                _say(error, path)
    if problems:
        raise typer.Exit(1)


def hot_pixels(
    files: RawFiles,
    out: Annotated[Path, typer.Option(help="the mask to write (.npy)")],
    dataset: Dataset = None,
    dark: DarkLevel = None,
    threshold: Annotated[
        float, typer.Option(help="a pixel fires where it is so far above dark, in ADU")
    ] = 50.0,
) -> None:
    """Learn from raw files which pixels are hot, and write a mask of them."""
    import numpy as np

    from femto_bluesky.files.arrays import write_image
    from femto_bluesky.files.names import check_free
    from femto_bluesky.model.detectors import settings_of
    from femto_bluesky.model.hot_pixels import HotPixelSearch
    from femto_bluesky.offline import learn_hot_pixels

    with told():
        if out.suffix != ".npy":
            raise ValueError(f"--out {out}: expected a name that ends in .npy")
        check_free(out)
        level = settings_of("andor3_balor").dark_adu if dark is None else dark
        search = HotPixelSearch(level or 0.0, threshold)
        with _bar("frames") as progress:
            learn_hot_pixels(files, search, dataset=dataset, progress=progress)
        mask = search.mask()
        write_image(out, mask)
    n = int(np.count_nonzero(mask))
    console = Console(soft_wrap=True)
    console.print(
        f"{n} hot pixels of {mask.size} ({n / mask.size:.2g}), from {search.n_frames} frames",
        highlight=False,
    )
    console.print(f"wrote {out}", highlight=False)


def _settings(path: Path | None, given: dict[str, Any], roi: str | None) -> PhotonDetectionSettings:
    """The settings of a file, with those of the options in their place."""
    from pydantic import ValidationError

    from femto_bluesky.callbacks.photon_settings import PhotonDetectionSettings
    from femto_bluesky.sources.settings import SettingsError, read_settings

    found = {} if path is None else read_settings(path)
    if "photons" in found and isinstance(found["photons"], dict):
        found = found["photons"]  # those of a whole live analysis
    if roi is not None:
        corners = roi.split(",")
        if len(corners) != 4 or not all(corner.strip().isdigit() for corner in corners):
            raise ValueError(
                f"--roi {roi!r}: expected x0,y0,x1,y1, four whole numbers, not below 0: columns "
                "and rows of the half-open box"
            )
        given["roi"] = dict(zip(("x0", "y0", "x1", "y1"), map(int, corners), strict=True))
    try:
        return PhotonDetectionSettings.model_validate({**found, **given})
    except ValidationError as error:
        where = f"{path}: " if path is not None else ""
        raise SettingsError(where + in_words(error)) from error


def _tell(found: CountedFile) -> None:
    rate = found.n_frames / found.seconds if found.seconds else float("nan")
    from femto_bluesky.files.photon_summary import share

    crowded = f", {found.n_crowded} frames too crowded" if found.n_crowded else ""
    counted = found.n_frames - found.n_crowded
    mean = f"{found.n_photons / counted:.1f} a frame" if counted else "no frame could be counted"
    Console(soft_wrap=True).print(
        f"{found.raw.name}: {found.n_frames} frames ({rate:.1f}/s), {found.n_photons} photons "
        f"({mean}), overlaps {share(found.overlap_share)} "
        f"(by chance: {share(found.expected_overlap_share)}), {found.n_hot} hot pixels{crowded}; "
        f"wrote {found.path}",
        highlight=False,
    )


def _say(error: Exception, path: Path) -> None:
    """One line, which names the file."""
    text = in_words(error)
    named = text if str(path) in text else f"{path}: {text}"
    Console(stderr=True, soft_wrap=True).print(
        f"femto-bluesky: {named}", style="red", highlight=False, markup=False
    )


@contextmanager
def _bar(name: str) -> Iterator[Callable[[int, int], None]]:
    """A bar of the frames, with their rate and the time left."""
    with progress_bar() as bar:
        task = bar.add_task(name, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
