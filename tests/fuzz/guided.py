"""One target under atheris, which looks where its inputs lead: `python -m tests.fuzz` starts this.

Its arguments are the target and those of libFuzzer. It ends with the process.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import pkgutil
import resource
import sys
from pathlib import Path

LARGEST_KB = 100_000
"""So much more memory may be taken by one input than was ever taken before."""

INSTRUMENTED = ["femto_bluesky", "msgpack", "pickletools", "starlette.routing"]
"""What atheris sees the branches of."""


def main() -> None:
    """Give inputs to the target until one breaks the law, or the time is over."""
    import atheris  # only `make fuzz` has it

    # numba cannot compile what atheris makes of functions, so what it compiles is imported before
    for compiled in ("femto_bluesky.kernels", "femto_bluesky.simulation"):
        for module in pkgutil.iter_modules(importlib.import_module(compiled).__path__):
            importlib.import_module(f"{compiled}.{module.name}")
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import one_input, warm

    logging.disable(logging.CRITICAL)
    target = sys.argv.pop(1)
    warm(target)

    def watched(data: bytes) -> None:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            one_input(target, data)
        except AssertionError:
            # libFuzzer writes it too, unless the process ends before
            name = f"{target}-{hashlib.sha1(data).hexdigest()[:12]}"
            (Path("build") / "fuzz" / name).write_bytes(data)
            raise
        taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if taken > LARGEST_KB:
            raise AssertionError(f"it took {taken >> 10} MB")

    atheris.Setup(sys.argv, watched)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
