"""What is to be done when the process begins to end, while threads still run."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable


def when_ending(call: Callable[[], object]) -> bool:
    """Have `call` made when the process begins to end; False where it is ending already.

    What is registered last is called first. `atexit` is too late for a catalog in this process:
    Tiled ends its app before that, in the same way as is done here.
    """
    register = getattr(threading, "_register_atexit", atexit.register)
    try:
        register(call)
    except RuntimeError:
        return False
    return True
