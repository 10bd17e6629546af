"""Scans a camera over Channel Access, in a process whose EPICS settings are its own.

``python loopback_client.py PART DIRECTORY`` starts the IOC of `loopback_ioc`, runs a part of
`test_channel_access` and prints what it has seen as one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

PREFIX, SHAPE = "LOOP:", (6, 9)


def ready():
    """An IOC that has not begun: what it imports takes longer than what it does."""
    script = Path(__file__).with_name("loopback_ioc.py")
    command = [sys.executable, str(script), PREFIX, *map(str, SHAPE)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


@contextmanager
def begun(process):
    process.stdin.write(b"begin\n")
    process.stdin.flush()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def camera(directory):
    from femto_bluesky.devices.areadetector import Zyla

    made = Zyla(PREFIX, name="cam", directory=directory)
    # lazy signals connect when they are first asked for
    made.cam.acquire.wait_for_connection(timeout=20)
    made.cam.num_images.set(3).wait(10)
    return made


def analysis():
    from femto_bluesky import Roi
    from femto_bluesky.callbacks import RoiMeans

    return RoiMeans({"whole": Roi(x0=0, y0=0, x1=9, y1=6)})


def numbers(live):
    return [float(value) for value in live.result()["cam_whole_mean"]]


def by_hand(directory):
    """Stage, trigger, read, unstage."""
    with begun(ready()):
        cam = camera(directory)
        cam.stage()
        cam.trigger().wait(10)
        described, configured = cam.describe(), cam.read_configuration()
        read = {key: reading["value"] for key, reading in cam.read().items()}
        documents = [name for name, _ in cam.collect_asset_docs()]
        cam.cam.acquire_period.set(9).wait(10)
        cam.trigger().wait(10)
        short = [cam.first_frame.get(), cam.n_frames.get()]
        cam.unstage()
        return {
            "shape": described["cam_image"]["shape"],
            "dtype": described["cam_image"]["dtype_numpy"],
            "read": read,
            "short": short,
            "documents": documents,
            "configured": {key: reading["value"] for key, reading in configured.items()},
            "capture": int(cam.hdf5.capture.get()),
            "mode": cam.cam.image_mode.get(as_string=True),
            "file": str(cam.hdf5.file),
        }


def scan(directory):
    """A scan, whose frames are read live while the IOC writes them."""
    from bluesky.plans import count

    from femto_bluesky.testing.runs import run_plan

    with begun(ready()):
        live = analysis()
        docs = run_plan(count([camera(directory)], 4), live)
        return {
            "means": numbers(live),
            "failures": [str(failure) for failure in live.failures],
            "first": [d["data"]["cam_first_frame"] for n, d in docs if n == "event"],
        }


def loss(directory):
    """An IOC that is killed in the middle of a scan, and a scan after it is back."""
    from bluesky.plans import count
    from bluesky.utils import FailedStatus

    from femto_bluesky.testing.runs import run_plan

    first_ioc, second_ioc = ready(), ready()
    live, docs, said = analysis(), [], ""

    with begun(first_ioc) as process:
        cam = camera(directory)

        def kill(name, doc):
            docs.append((name, doc))
            if name == "event" and doc["seq_num"] == 2:
                process.kill()
                process.wait()

        try:
            run_plan(count([cam], 5), live, kill)
        except FailedStatus as failure:
            said = f"{type(failure.__cause__).__name__}: {failure.__cause__}"
        except Exception as failure:
            said = f"{type(failure).__name__}: {failure}"
    first = numbers(live)
    with begun(second_ioc):
        cam.cam.acquire.wait_for_connection(timeout=20)
        cam.hdf5.wait_for_connection(timeout=20)
        cam.cam.wait_for_connection(timeout=20)
        cam.cam.num_images.set(3).wait(10)
        run_plan(count([cam], 2), live)
    return {
        "said": said,
        "stop": docs[-1][1]["exit_status"],
        "n_events": sum(name == "event" for name, _ in docs),
        "first": first,
        "second": numbers(live),
        "failures": [str(failure) for failure in live.failures],
    }


if __name__ == "__main__":
    part = {"by_hand": by_hand, "scan": scan, "loss": loss}[sys.argv[1]]
    found = part(Path(sys.argv[2]))
    sys.stdout.write(json.dumps(found))
