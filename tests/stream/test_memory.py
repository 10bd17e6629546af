from __future__ import annotations

import subprocess
import sys

CODE = """
import ctypes, numpy as np
from femto_bluesky.stream.memory import keep_memory
{change}
keep_memory()
places = set()
for _ in range(5):
    frame = np.ones(34_000_000, np.uint8)
    places.add(frame.ctypes.data)
    del frame
    with open("/proc/self/statm") as file:
        places.add(("kept", int(file.read().split()[1]) * 4096 > 60_000_000))
print(places)
"""


def told(change=""):
    """What another process says: memory of this one must stay as it is."""
    code = CODE.format(change=change)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout


def test_the_memory_of_a_frame_is_used_again():
    assert "('kept', True)" in told()
    assert "('kept', False)" not in told()


def test_another_c_library_is_left_alone():
    assert told("ctypes.CDLL = lambda name: object()")
