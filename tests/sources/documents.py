"""The real recordings, and what is asked of documents in the tests of sources."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import event_model
import numpy as np
import pytest

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason="the recordings of shared/data are not beside the project"
)
LAB6, FLUORESCENCE = DATA / "lab6", DATA / "fluorescence"

Documents = list[tuple[str, dict[str, Any]]]


def valid(pairs: Iterable[tuple[str, dict[str, Any]]]) -> Documents:
    """The documents, each held against the schema and the keys against the descriptor."""
    documents = list(pairs)
    descriptors = {d["uid"]: d for name, d in documents if name == "descriptor"}
    for name, document in documents:
        kind = event_model.DocumentNames[name]
        event_model.schema_validators[kind].validate(document)
        if name == "event":
            keys = descriptors[document["descriptor"]]["data_keys"]
            assert set(document["data"]) == set(document["timestamps"]) == set(keys)
            for key, value in document["data"].items():
                assert list(np.shape(value)) == keys[key]["shape"], key
                if "dtype_numpy" in keys[key]:
                    assert np.asarray(value).dtype == np.dtype(keys[key]["dtype_numpy"])
    return documents


def normal(documents: Documents) -> str:
    """Documents as text, arrays with every byte."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if hasattr(value, "__array__"):
            array = np.asarray(value)
            return array.shape, array.dtype.str, array.tobytes()
        return value

    return repr([(name, plain(document)) for name, document in documents])


def of(name: str, documents: Documents) -> list[dict[str, Any]]:
    return [document for kind, document in documents if kind == name]
