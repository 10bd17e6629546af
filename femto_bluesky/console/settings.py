"""The settings of a beamline: one file for each profile, read when the prompt starts."""

from __future__ import annotations

import keyword
import os
from collections.abc import Mapping
from pathlib import Path, PurePath, PureWindowsPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from femto_bluesky.console.errors import ConsoleError
from femto_bluesky.files import texts
from femto_bluesky.model.detectors import settings_of
from femto_bluesky.model.geometry import Geometry
from femto_bluesky.model.rois import Roi
from femto_bluesky.model.words import in_words

FILE = "beamline.yaml"

VARIABLE = "FEMTO_BLUESKY_SETTINGS"
"""The environment variable that names another settings file."""

TAKEN = frozenset(
    """
    LiveAnalysis RE Roi add_roi analyses bec bp bps burst_grid burst_scan catalog collect_dark
    connect_devices continuous darks delete_geometry delete_roi derived_bec devices geometries
    list_geometries list_rois list_sums live log log_file move_roi numbers opened page plot plots
    regions replay reset_accumulation set_geometry settings show start_accumulation
    stop_accumulation sums undo_reset use_darks witness
    """.split()
)
"""What the startup files of the profiles call something, so that no device can be called so."""


class SettingsFileError(ConsoleError):
    """A settings file that is not there, or does not say what is needed."""


def _is_a_name(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(
            f"{name!r} cannot be typed as a name at the prompt; take letters, digits and '_', "
            "such as 'sample_x'"
        )
    if name in TAKEN:
        raise ValueError(f"{name!r} is something else at the prompt; take another name")
    return name


Name = Annotated[str, AfterValidator(_is_a_name)]
"""What a device is called: at the prompt and in the documents."""

Kind = Literal["pilatus", "zyla", "balor"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _with_pixel_sizes(geometries: Any) -> Any:
    """The geometries of the file, with the pixel sizes of the detectors that are known."""
    if not isinstance(geometries, Mapping):
        return geometries
    found = dict(geometries)
    for name, given in geometries.items():
        size = settings_of(str(name)).pixel_size_m
        if isinstance(given, Mapping) and size is not None:
            found[name] = {"pixel_size_m": size, **given}
    return found


class Twin(_Part):
    """A camera that is simulated."""

    kind: Kind = Field(description="what it is a twin of")
    shape: tuple[int, int] = Field(description="rows and columns of its frames", strict=False)
    n_photons: float | None = Field(
        default=None, gt=0, description="mean photons a frame; None: in proportion to its area"
    )


class SimulatedBeamline(_Part):
    """Devices that need no hardware. There are a `beam` (shot counter, I0) and a `shutter` too."""

    cameras: Mapping[Name, Twin] = Field(min_length=1, description="the cameras by their names")
    motors: tuple[Name, ...] = Field(
        min_length=1, description="motors; the first is the delay on which the signal depends"
    )


class Camera(_Part):
    """A camera behind an areaDetector IOC."""

    kind: Kind = Field(description="its class")
    prefix: str = Field(min_length=1, description="what its process variables begin with")
    ioc_directory: str | None = Field(
        default=None, description="where its IOC sees the directory of raw files, if elsewhere"
    )
    save_raw: bool = Field(
        default=True, description="keep raw frames; a Balor may do without, once photons are kept"
    )

    @property
    def ioc_path(self) -> PurePath | None:
        """`ioc_directory` as a path: of Windows where it has a drive or backslashes."""
        if self.ioc_directory is None:
            return None
        is_windows = "\\" in self.ioc_directory or self.ioc_directory[1:2] == ":"
        return (PureWindowsPath if is_windows else PurePath)(self.ioc_directory)


class EpicsBeamline(_Part):
    """Devices behind EPICS."""

    cameras: Mapping[Name, Camera] = Field(min_length=1, description="the cameras by their names")
    motors: Mapping[Name, str] = Field(
        default={}, description="motor records: name and process variable of each"
    )
    signals: Mapping[Name, str] = Field(
        default={}, description="other values, such as I0 or a shutter: name and process variable"
    )
    connection_timeout_s: float = Field(
        default=2.0, gt=0, le=60, description="how long devices may take to answer, all together"
    )


class PageSettings(_Part):
    """Where the live page of a session is."""

    host: str = Field(
        default="127.0.0.1",
        description="the address to serve at: this machine only, or one that others can reach, "
        "such as 0.0.0.0; then two tokens are made at each start, and shown in the banner",
    )
    port: int = Field(
        default=8650, ge=0, le=65535, description="its port; a free one where this one is taken"
    )


class BeamlineSettings(_Part):
    """What a profile is told by its settings file."""

    beamline: str = Field(description="what it is called; it goes into each start document")
    directory: Path = Field(
        description="where raw, process, darks, pictures and catalog are; relative to this file"
    )
    catalog: str | None = Field(
        default=None, description="as for open_catalog; None: an embedded one in the directory"
    )
    md: Mapping[str, Any] = Field(default={}, description="more for each start document")
    rois: Mapping[str, Roi] = Field(default={}, description="regions of interest by their names")
    geometries: Annotated[Mapping[str, Geometry], BeforeValidator(_with_pixel_sizes)] = Field(
        default={},
        description="where detectors stand, by their names; for I(q) and rings. The pixel size is "
        "that of the detector where none is given",
    )
    errors: Literal["std", "sem"] = Field(
        default="std", description="the error bars: spread of the shots, or error of their mean"
    )
    restore: Literal["ask", "always", "never"] = Field(
        default="ask",
        description="whether frames are added to the sums of the prompt before: asked where "
        "somebody types; what is not restored is set aside when frames come",
    )
    page: PageSettings | None = Field(
        default=PageSettings(), description="the live page; null for none"
    )
    publish: str | None = Field(
        default=None,
        pattern=r"^tcp://[^:/]+:\d+$",
        description="the entrance of a 0MQ proxy, such as tcp://localhost:5577, to which all "
        "documents are sent; processes elsewhere can follow the runs then",
    )
    simulation: SimulatedBeamline | None = Field(default=None, description="simulated devices")
    epics: EpicsBeamline | None = Field(default=None, description="devices behind EPICS")

    def folder(self, name: str) -> Path:
        """A folder in the directory; it is made by who writes into it."""
        return self.directory / name


def settings_file(profile: str | Path) -> Path:
    """The settings file of a profile directory, or the one that the environment names."""
    return Path(os.environ.get(VARIABLE) or Path(profile) / FILE).expanduser().absolute()


def read_beamline(path: Path) -> BeamlineSettings:
    """The settings in a YAML file. Raises `SettingsFileError`, which names all that is wrong."""
    try:
        found = texts.parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsFileError(
            f"the settings {path} cannot be read ({error.strerror}); the profile needs a file "
            f"{FILE} in its directory, or {VARIABLE} to name one"
        ) from error
    except ValueError as error:
        raise SettingsFileError(f"{path}: {error}") from error
    try:
        settings = BeamlineSettings.model_validate(found)
    except ValidationError as error:
        raise SettingsFileError(f"{path}: {in_words(error)}; mend that and start again") from error
    directory = path.parent / settings.directory.expanduser()
    return settings.model_copy(update={"directory": directory})
