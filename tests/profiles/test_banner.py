"""What the banner says can be typed as it stands there."""

from __future__ import annotations

from pathlib import Path

from tests.profiles.prompt import prompt, write_settings


def test_each_line_of_the_banner_works_as_it_stands(tmp_path: Path) -> None:
    settings = write_settings(tmp_path, catalog=f"lines:{tmp_path / 'lines'}")
    with prompt("simulated", settings) as it:
        _, told, typed = it.greeting.replace("\r", "").split("\n\n")[-3:]
        assert "next scan is 1" in told
        lines = [line.strip() for line in typed.splitlines() if line.strip()]
        assert len(lines) > 10
        answers = {line: it.say(line) for line in lines}
        for line, answer in answers.items():
            for trouble in ("Error", "Traceback", "Warning", "has failed"):
                assert trouble not in answer, f"{line}\n{answer}"
        assert it.value("sums._live._is_accumulating()") == "True"
        assert it.value("len(catalog) if hasattr(catalog, '__len__') else catalog[-1].start['scan_id']") == "4"
