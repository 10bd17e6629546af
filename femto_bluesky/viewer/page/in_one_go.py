"""Much of a document is changed in one go.

Whenever a model comes to another, Bokeh goes through all models of the document, which takes tens
of milliseconds of the loop that serves all browsers; a curve more is a dozen of such changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def in_one_go(doc: Any) -> Iterator[None]:
    """Have a document go through its models once, after all changes, and send them then.

    What is sent of a new model is what it is at the end. Within another such context, or where the
    document holds back what it has to send, it does nothing.
    """
    if doc.callbacks.hold_value is not None:
        yield
        return
    models, is_due = doc.models, False

    def note() -> None:
        nonlocal is_due
        is_due = True

    doc.hold("collect")
    models.invalidate = note
    try:
        yield
    finally:
        del models.invalidate
        if is_due:
            models.invalidate()
        doc.unhold()
