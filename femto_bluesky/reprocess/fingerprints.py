"""What a piece of work is, in one word: the same word means the same results."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path

import femto_bluesky
from femto_bluesky.reprocess.planning import Plan
from femto_bluesky.stream.analysis import Analysis

HOUSE = Path(femto_bluesky.__file__).parent


def fingerprint(plan: Plan, analysis: Analysis) -> str:
    """A digest of the runs and their shots, the settings, the groups, and the version of the code.

    Of an analysis that is not of this package, the file that it stands in counts.
    """
    reading = analysis._reading
    told = {
        "version": femto_bluesky.__version__,
        "analysis": f"{type(analysis).__module__}.{type(analysis).__qualname__}",
        "code": _own_code(analysis),
        "settings": analysis.settings_record(),
        "stream": reading.stream,
        "detectors": {
            name: known.model_dump(mode="json") for name, known in reading.detectors.items()
        },
        "group_by": str(plan.group_by),
        "groups": [
            [group.name, [[uid, share.n_shots] for uid, share in group.shares.items()]]
            for group in plan.groups
        ],
    }
    text = json.dumps(told, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _own_code(analysis: Analysis) -> str:
    try:
        path = Path(inspect.getfile(type(analysis)))
    except (OSError, TypeError):
        return ""  # typed at a prompt
    if path.is_relative_to(HOUSE) or not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()
