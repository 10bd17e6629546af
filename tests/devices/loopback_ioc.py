"""An IOC in a process of its own: the areaDetector records of a camera, over Channel Access.

``python loopback_ioc.py PREFIX ROWS COLUMNS``; a pixel of frame i, counted through the IOC's life,
is i. It writes HDF5 with SWMR where its records say so. Frames of a burst take 20 ms each. It gets
ready, and begins when a line comes on its standard input; it ends when that is closed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path

PERIOD_S = 0.02
LONG = {"HDF1:FilePath", "HDF1:FileName", "HDF1:FileTemplate", "HDF1:FullFileName",
        "HDF1:WriteMessage"}  # fmt: skip
IMAGE_MODES = ["Fixed", "Continuous"]


def records(rows, columns):
    """Name of a record: value, and whether it has a readback; a list is an enumeration."""
    pairs = {
        "cam1:Acquire": 0, "cam1:AcquireTime": 0.05, "cam1:AcquirePeriod": 0.1,
        "cam1:NumImages": 1, "cam1:ImageMode": IMAGE_MODES, "cam1:TriggerMode": ["Internal"],
        "cam1:ArrayCallbacks": 1, "cam1:MinX": 0, "cam1:MinY": 0, "cam1:SizeX": columns,
        "cam1:SizeY": rows, "cam1:A3Binning": ["1x1"], "cam1:A3ShutterMode": ["Rolling"],
        "cam1:PreAmpGain": ["16-bit"], "cam1:PixelEncoding": ["Mono16"],
        "HDF1:EnableCallbacks": ["Disable", "Enable"], "HDF1:BlockingCallbacks": ["No", "Yes"],
        "HDF1:CreateDirectory": 0, "HDF1:AutoIncrement": ["No", "Yes"], "HDF1:ArrayCounter": 0,
        "HDF1:AutoSave": ["No", "Yes"], "HDF1:NumCapture": 1, "HDF1:FileNumber": 0,
        "HDF1:FileWriteMode": ["Single", "Capture", "Stream"], "HDF1:Capture": 0,
        "HDF1:LazyOpen": ["No", "Yes"], "HDF1:SWMRMode": ["Off", "On"], "HDF1:NumFramesChunks": 1,
        "HDF1:NumFramesFlush": 0, "HDF1:DataType": ["UInt16"],
        "HDF1:Compression": ["None", "Blosc"], "HDF1:FilePath": "/",
        "HDF1:NumExtraDims": 0, "HDF1:MinCallbackTime": 0.0, "HDF1:FileName": "",
        "HDF1:FileTemplate": "", "HDF1:NDArrayPort": "CAM",
    }  # fmt: skip
    alone = {
        "cam1:PortName_RBV": "CAM", "cam1:Manufacturer_RBV": "femto", "cam1:Model_RBV": "loopback",
        "cam1:TemperatureActual": -20.0, "cam1:ArraySizeX_RBV": columns,
        "cam1:ArraySizeY_RBV": rows, "cam1:ArraySizeZ_RBV": 0, "HDF1:PortName_RBV": "HDF5",
        "HDF1:PluginType_RBV": "NDFileHDF5 ver3.12", "HDF1:FilePathExists_RBV": 1,
        "HDF1:FullFileName_RBV": "", "HDF1:NumCaptured_RBV": 0,
        "HDF1:WriteMessage": "", "HDF1:WriteStatus": ["Write OK", "Write error"],
        "HDF1:SWMRActive_RBV": ["Off", "Active"],
        "HDF1:ArraySize0_RBV": columns, "HDF1:ArraySize1_RBV": rows, "HDF1:ArraySize2_RBV": 0,
    }  # fmt: skip
    return pairs, alone


def main(prefix, rows, columns):
    import numpy as np
    from caproto import ChannelType
    from caproto.server import PVGroup, pvproperty, run

    from femto_bluesky.devices.frame_files import DATASET
    from femto_bluesky.files.stacks import FrameStack

    state = {"stack": None, "n_taken": 0, "task": None}

    def kind(name, value):
        if isinstance(value, list):
            return {"dtype": ChannelType.ENUM, "enum_strings": value, "value": value[0]}
        if name.removesuffix("_RBV") in LONG:
            return {"dtype": ChannelType.CHAR, "max_length": 512, "value": value}
        return {"value": value, **({"dtype": ChannelType.STRING} if isinstance(value, str) else {})}

    async def put_acquire(group, value):
        if value:
            state["task"] = asyncio.create_task(take(group))

    async def take(group):
        # a period of 9 s is how a test asks for a burst that loses a frame
        n_frames = int(group["cam1:NumImages"].value) - (group["cam1:AcquirePeriod"].value == 9)
        for _ in range(n_frames):
            await asyncio.sleep(PERIOD_S)
            if not group["cam1:Acquire"].value:
                break
            if state["stack"] is not None:
                frame = np.full((rows, columns), state["n_taken"], np.uint16)
                state["stack"].append(frame)
                await group["HDF1:NumCaptured_RBV"].write(len(state["stack"]))
            state["n_taken"] += 1
        await group["cam1:Acquire"].write(0)

    async def put_capture(group, value):
        if not value:
            if state["stack"] is not None:
                state["stack"].close()
            state["stack"] = None
            await group["HDF1:SWMRActive_RBV"].write("Off")
        elif state["stack"] is None:
            folder, name = (text_of(group[f"HDF1:{n}"]) for n in ("FilePath", "FileName"))
            number = group["HDF1:FileNumber"].value
            path = text_of(group["HDF1:FileTemplate"]) % (folder, name, number)
            Path(folder).mkdir(parents=True, exist_ok=True)
            state["stack"] = FrameStack(Path(path), DATASET, (rows, columns), np.dtype(np.uint16))
            await group["HDF1:FullFileName_RBV"].write(path)
            await group["HDF1:FileNumber"].write(number + 1)
            await group["HDF1:NumCaptured_RBV"].write(0)
            await group["HDF1:SWMRActive_RBV"].write("Active")

    def text_of(record):
        value = record.value
        return value if isinstance(value, str) else bytes(value).decode().rstrip("\0")

    hooks = {"cam1:Acquire": put_acquire, "HDF1:Capture": put_capture}

    class ByName(PVGroup):
        def __getitem__(self, name):
            return getattr(self, attribute(name))

    def attribute(name):
        return name.replace(":", "_").lower()

    def putter(name):
        async def put(group, instance, value):
            await group[f"{name}_RBV"].write(value)
            if name in hooks:
                await hooks[name](group, value)

        return put

    pairs, alone = records(rows, columns)
    body = {attribute(n): pvproperty(name=n, **kind(n, v)) for n, v in alone.items()}
    for name, value in pairs.items():
        body[attribute(f"{name}_RBV")] = pvproperty(name=f"{name}_RBV", **kind(name, value))
        body[attribute(name)] = pvproperty(name=name, put=putter(name), **kind(name, value))
    camera = type("Camera", (ByName,), body)(prefix=prefix)
    sys.stdin.readline()
    # it ends with whoever has started it
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    run(camera.pvdb, interfaces=["127.0.0.1"], log_pv_names=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
