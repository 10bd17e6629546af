"""A catalog on a server of its own, which is killed, and raises."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from femto_bluesky.sources import open_catalog
from femto_bluesky.sources.catalogs.runs import RunNotFoundError
from femto_bluesky.sources.catalogs.uploading import upload
from tests.catalogs import free_port, start_tiled
from tests.soak.beamline import Beamline
from tests.soak.faults import InjectedError
from tests.soak.meddling import Action, Gate


class SoakedCatalog:
    """A Tiled server that keeps the raw and the derived runs; without one, JSON lines do."""

    def __init__(self, beamline: Beamline, gate: Gate, *, is_served: bool) -> None:
        self._folder, self._gate, self._port = beamline.folder, gate, free_port()
        self._server: subprocess.Popen[bytes] | None = None
        self._address = f"lines:{self._folder / 'lines'}"
        if is_served:
            os.environ["TILED_API_KEY"] = "secret"
            (self._folder / "server").mkdir()
            self._start()
            self._address = f"http://127.0.0.1:{self._port}"
        self.n_uploaded = 0
        """Runs that it has refused, and has taken later."""
        self.catalog = open_catalog(self._address, self._folder / "catalog")
        beamline.engine.subscribe(self.catalog.writer)
        beamline.live.subscribe(self.catalog.writer)

    @property
    def faults(self) -> list[Action]:
        """What happens to it."""
        return [self.catalog_raises] + [self.catalog_killed] * (self._server is not None)

    def catalog_raises(self, rng: random.Random) -> None:
        """It takes no runs for some seconds."""

        def refuse(path: Path) -> None:
            raise InjectedError(f"the catalog does not take {path.name}")

        with patch.object(self.catalog.writer, "_insert", refuse):
            self._gate.sleep(rng.uniform(3, 10))

    def catalog_killed(self, rng: random.Random) -> None:
        """Its process is killed, and started again some seconds later."""
        assert self._server is not None
        self._server.kill()
        self._server.wait(30)
        self._gate.sleep(rng.uniform(1, 6))
        self._start()

    def _start(self) -> None:
        """Start the server; on a machine that does much else it may take more than a minute."""
        for attempt in range(4):
            try:
                self._server = start_tiled(self._folder / "server", self._port)
            except AssertionError:
                if attempt == 3:
                    raise
            else:
                return

    def settle(self) -> None:
        """Have it take what it has refused: `femto-bluesky upload`, as the log says."""
        writer = self.catalog.writer
        writer.wait()
        if any(writer.waiting.glob("*.jsonl")):
            self.n_uploaded += len(upload(writer.waiting, self.catalog).stored)

    def missing(self, runs: Iterable[str]) -> list[str]:
        """The raw runs that it does not have, or not with one derived run of each."""
        found = [path.name for path in self.catalog.writer.waiting.glob("*.jsonl")]
        for uid in runs:
            try:
                run = self.catalog[uid]
                is_whole = run.stop is not None and [d.stop is not None for d in run.derived()]
            except RunNotFoundError:
                is_whole = False
            if is_whole != [True]:
                found.append(uid)
        return found

    def close(self) -> None:
        """Let go of it, and end the server."""
        self.catalog.close()
        if self._server is not None:
            self._server.terminate()
            self._server.wait(30)
