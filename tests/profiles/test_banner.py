"""What the banner says to type works as it stands there."""

from __future__ import annotations

from pathlib import Path

from tests.profiles.prompt import prompt, write_settings


def test_each_line_of_the_banner_works_as_it_stands(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, catalog=f"lines:{tmp_path / 'lines'}")
    with prompt("simulated", settings) as it:
        greeted = it.greeting.replace("\r", "")
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
