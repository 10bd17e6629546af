"""What the banner says to type works as it stands there, and the page is where it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.profiles.prompt import prompt, write_settings


@pytest.mark.long
def test_each_line_of_the_banner_works_as_it_stands(tmp_path: Path) -> None:
    lines_of = f"lines:{tmp_path / 'lines'}"
    settings = write_settings(tmp_path, catalog=lines_of, page={"port": 0})
    with prompt("simulated", settings) as it:
        greeted = it.greeting.replace("\r", "")
        address = re.search(r"  page +(http://127\.0\.0\.1:\d+/)\n", greeted)
        assert address, greeted
        lines = greeted[greeted.index("  RE(burst_scan(") :].split("\n")
        lines = [line.strip() for line in lines if line.strip()]
        assert len(lines) > 10
        for line in lines:
            answer = it.say(line)
            for trouble in ("Error:", "Traceback", "Warning", "it has failed", "no such"):
                assert trouble not in answer, f"{line}\n{answer}"
            if line.startswith("show()"):
                assert "scan 4, continuous" in answer
            elif line.startswith("list_sums()"):
                assert "165 frames of 3 runs, adding" in answer
        # what is typed for a try leaves nothing stopped behind it
        assert "165 frames of 3 runs, adding" in it.value("list_sums()")
        assert it.value("list(live.rois.settings.rois)") == "['ring 1']"
        assert it.value("page.wait(), page.problem") == "(True, '')"
        assert it.value("page") == f"<page at {address[1]}>"
        with urlopen(f"{address[1]}health", timeout=30) as reply:
            assert json.load(reply)["status"] == "ok"
        with urlopen(f"{address[1]}api/v1/parameters", timeout=30) as reply:
            assert "ring 1" in str(json.load(reply))
        assert re.fullmatch(r"<page at http://127\.0\.0\.1:\d+/>", it.value("live.serve()"))
        assert it.leave().strip() == "exit"
