from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from femto_bluesky.model.step_text import TextColumn, text_columns, text_table, with_photons

STEPS = {
    "delay": np.array([-1.0, 0.5]),
    "n_shots": np.array([10, 1]),
    "a_mean": np.array([1.25, np.nan]),
    "a_std": np.array([0.0123456, np.nan]),
    "a_sem": np.array([0.004, np.nan]),
    "a_n": np.array([10, 0]),
}


def test_a_quantity_is_one_column():
    assert text_columns(STEPS) == [
        TextColumn("delay", "", ["-1", "0.5"]),
        TextColumn("n_shots", "", ["10", "1"]),
        TextColumn("a", "mean ± std", ["1.25 ± 0.012  ", "missing ± ?      "]),
    ]
    assert text_table(text_columns(STEPS), 100) == [
        "delay  n_shots                  a",
        "                       mean ± std",
        "   -1       10     1.25 ± 0.012",
        "  0.5        1  missing ± ?",
    ]


def test_a_motor_whose_name_ends_in_mean_is_a_motor():
    columns = {"mean_mean": np.array([2.0]), "label": np.array(["in"]), "n_shots": np.array([1])}
    assert [(c.name, c.below, c.cells) for c in text_columns(columns)] == [
        ("mean_mean", "", ["2"]), ("label", "", ["in"]), ("n_shots", "", ["1"]),
    ]  # fmt: skip


def test_photons_a_shot_are_shown_and_what_was_too_full():
    photons = {f"b_n_photons{end}": np.array([3.0]) for end in ("", "_mean", "_std", "_n")}
    none = photons | {"b_n_crowded": np.array([0]), "b_overlap_share": np.array([0.1])}
    assert list(with_photons({}, none)) == ["b_n_photons_mean", "b_n_photons_std", "b_n_photons_n"]
    some = photons | {"b_n_crowded": np.array([4])}
    assert next(iter(with_photons({}, some))) == "b_n_crowded"


@given(st.integers(1, 9), st.integers(1, 200))
def test_a_table_keeps_to_the_width_and_shows_each_quantity_once(n, width):
    columns = [
        TextColumn("delay", "", ["1"]),
        *(TextColumn(f"quantity_{k}", "mean ± std", ["1 ± 2"]) for k in range(n)),
    ]
    lines = text_table(columns, width)
    least = len("delay  quantity_0")
    assert max(map(len, lines)) <= max(width, least)
    text = "\n".join(lines)
    assert [text.count(f"quantity_{k}") for k in range(n)] == [1] * n
    assert text.count("delay") == lines.count("") + 1 <= n


def test_without_columns_there_are_no_lines():
    assert text_table([], 80) == []
