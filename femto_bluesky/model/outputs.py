"""What an analysis gives out, declared: the data keys of its derived run are made from this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Output:
    """One named value in a stream of the derived run.

    `stream` says of what it is: "shots" of one shot, "primary" of one step, any other of the whole
    run so far (one event when the run ends), or of steps too where the analysis has `step_rows`.
    `reset_by` says whether a new run begins it anew. `detector` names the object that it stands
    under; `roi` the full name of a region. An image is kept in a file, not in documents, and so is
    a value of each photon, as a `column` of its file. An array of one dimension (`is_array`, such
    as a curve) is in the documents. `hinted` outputs are plotted and tabled by BestEffortCallback.
    """

    name: str
    stream: str
    detector: str
    description: str
    dtype: Literal["number", "integer"] = "number"
    units: str = ""
    is_image: bool = False
    is_array: bool = False
    reset_by: Literal["run", "user"] = "run"
    hinted: bool = False
    roi: str = ""
    column: str = ""
