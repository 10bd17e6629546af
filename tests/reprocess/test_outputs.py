"""What reprocessing leaves: numbers, differences, provenance; and what it leaves alone."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pytest

from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.files.names import OutputError, OutputExistsError
from femto_bluesky.files.results import write_results
from femto_bluesky.model.results import DataGroup, Quantity
from femto_bluesky.model.rois import Roi
from femto_bluesky.reprocess import reprocess
from femto_bluesky.reprocess.differences import NoReferenceError, differences, reference_of
from femto_bluesky.reprocess.group_files import file_name, read_results, read_summary
from femto_bluesky.reprocess.outputs import Outputs
from femto_bluesky.reprocess.provenance import Recipe
from femto_bluesky.reprocess.summary import GroupSummary, Numbers, in_order
from femto_bluesky.reprocess.summary_curves import curves_of, series_of
from femto_bluesky.sources.settings import read_settings
from femto_bluesky.testing.documents import difference
from tests.reprocess.made_runs import a_run, frames_of
from tests.reprocess.nights import take_night

SPOT = Roi(x0=3, y0=4, x1=11, y1=9)
DELAYS = (0.0, 0.5, 1.0)


def live():
    return LiveAnalysis({"the spot": SPOT}, photon_files=False)


def worked(out, runs, group_by="delay", **said):
    """The outputs of runs that were reprocessed into a directory."""
    options = {key: said.pop(key) for key in ("frames_per_piece", "on_group") if key in said}
    uids = [run[0][1]["uid"] for run in runs]
    outputs = Outputs(out, Recipe.of(live(), uids, group_by=group_by, **said), {"delay": "ps"})
    outputs.begin()
    take = options.pop("on_group", lambda outputs: outputs.take)(outputs)
    done = reprocess(
        runs, live(), workers=1, group_by=group_by, out=out, on_group=take, parts=outputs.parts,
        **options,
    )  # fmt: skip
    outputs.finish(done)
    return outputs


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    """They take a second; test_report.py and test_night.py look at them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("femto_bluesky.reprocess.report.report", lambda told: "<html></html>")
        patch.setattr(
            "femto_bluesky.files.pictures.draw_curves",
            lambda groups, path, title: path.write_text(title),
        )
        yield


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """Three runs of three delays, five shots each, and what is left of them."""
    folder = tmp_path_factory.mktemp("night")
    runs = [list(a_run(folder, number)) for number in (1, 2, 3)]
    return runs, worked(folder / "out", runs), folder / "out"


def test_numbers_of_a_group_are_those_of_its_shots(night):
    _, outputs, out = night
    stacks = {number: frames_of(100 * number, 15) for number in (1, 2, 3)}
    for step, delay in enumerate(DELAYS):
        found = read_summary(out / f"delay={delay:g}.h5")
        shots = {
            number: stack[5 * step : 5 * step + 5][:, 4:9, 3:11].mean(axis=(1, 2))
            for number, stack in stacks.items()
        }
        every, means = np.concatenate(list(shots.values())), [s.mean() for s in shots.values()]
        assert found.values == {"delay": delay}
        assert found.units == {"delay": "ps"}
        assert [run["scan_id"] for run in found.runs] == [1, 2, 3]
        assert found.n_shots == 15
        numbers = found.numbers["pilatus_the_spot"]
        assert numbers.label == "the spot on pilatus"
        assert numbers.units == "counts/pixel"
        assert (numbers.n_shots, numbers.n_runs) == (15, 3)
        assert numbers.mean == pytest.approx(every.mean(), rel=1e-12)
        assert numbers.std == pytest.approx(every.std(), rel=1e-12)
        assert numbers.sem == pytest.approx(every.std(ddof=1) / np.sqrt(15), rel=1e-12)
        assert numbers.std_of_runs == pytest.approx(np.std(means, ddof=1), rel=1e-12)
        drift = read_results(out / f"delay={delay:g}.h5")["means_of_runs/pilatus_the_spot"]
        assert drift.axes[0].values.tolist() == [1, 2, 3]
        assert drift.signal.values == pytest.approx(means, rel=1e-12)
    assert outputs.written[0].name == "settings.yaml"


def test_the_image_of_a_group_is_the_sum_of_its_frames(night):
    _, _, out = night
    image = read_results(out / "delay=0.5.h5")["accumulated/pilatus"]
    expected = sum(frames_of(100 * number, 15)[5:10].sum(axis=0, dtype=int) for number in (1, 2, 3))
    assert (image.signal.values == expected).all()
    assert image.rois == {"the spot": SPOT}
    assert image.attributes["n_frames"] == 15


def test_differences_are_those_of_mean_frames(night):
    _, _, out = night
    assert not (out / "difference_delay=0.h5").exists()
    found = read_results(out / "difference_delay=1.h5")["differences/pilatus"]
    stacks = [frames_of(100 * number, 15).astype(float) for number in (1, 2, 3)]
    expected = sum(stack[10:].sum(axis=0) - stack[:5].sum(axis=0) for stack in stacks) / 15
    assert found.signal.values == pytest.approx(expected, abs=1e-6)
    assert "delay=1 less that of delay=0" in found.title


def test_the_summary_has_means_against_the_delay(night):
    _, _, out = night
    found = read_results(out / "summary.h5")["means/pilatus_the_spot"]
    assert found.axes[0].label == "delay [ps]"
    assert found.axes[0].values.tolist() == [0, 0.5, 1]
    of_files = [read_summary(out / f"delay={d:g}.h5").numbers["pilatus_the_spot"] for d in DELAYS]
    assert found.signal.values.tolist() == [n.mean for n in of_files]
    assert found.errors.tolist() == [n.sem for n in of_files]
    columns = {column.name: column.values.tolist() for column in found.columns}
    assert columns["std_of_runs"] == [n.std_of_runs for n in of_files]
    assert columns["n_runs"] == [3, 3, 3]
    assert columns["group"] == ["delay=0", "delay=0.5", "delay=1"]
    assert (out / "summary.png").read_text() == "Means of the groups by delay"


def test_provenance_tells_everything_but_the_machine(night, tmp_path):
    runs, outputs, out = night
    record = json.loads((out / "provenance.json").read_text())
    assert [run["scan_id"] for run in record["runs"]] == [1, 2, 3]
    assert record["runs"][0]["n_shots"] == 15
    assert record["settings"]["rois"]["the spot"]["x1"] == 11
    assert {"femto_bluesky", "numpy", "numba", "h5py", "python"} == record["versions"].keys()
    again = worked(tmp_path / "again", runs, frames_per_piece=3)
    other = json.loads((tmp_path / "again" / "provenance.json").read_text())
    assert other.pop("command") == outputs.recipe.command(tmp_path / "again")
    del record["command"]
    assert difference(record, other) is None
    for path in out.glob("*.h5"):
        results, expected = read_results(again.directory / path.name), read_results(path)
        assert results.keys() == expected.keys()
        for name, one in expected.items():
            assert difference(one.signal.values, results[name].signal.values) is None, name
    with h5py.File(out / "delay=1.h5") as file:
        told = json.loads(file["entry/start_document/data"].asstr()[()])
        assert told["group_by"] == "delay"
        assert told["versions"] == record["versions"]
        assert len(told["parent_uids"]) == 3
        assert json.loads(file["entry/process/settings/data"].asstr()[()]) == record["settings"]


def test_the_settings_that_are_left_make_the_same_analysis(night):
    _, _, out = night
    made = LiveAnalysis(**read_settings(out / "settings.yaml"))
    assert made.settings_record() == live().settings_record()


def test_one_run_keeps_its_own_curves(night, tmp_path):
    runs, _, _ = night
    outputs = worked(tmp_path, runs[::-1], group_by="run", reference="")
    assert [group.label for group in outputs.groups] == ["scan 1", "scan 2", "scan 3"]
    means = read_results(tmp_path / "summary.h5")["means/pilatus_the_spot"]
    assert means.axes[0].values.tolist() == [1, 2, 3]
    paths = sorted(tmp_path.glob("run=*.h5"))
    assert len(paths) == 3
    found = read_results(paths[0])
    assert found["step_means/pilatus_the_spot"].axes[0].values.tolist() == list(DELAYS)
    assert not [name for name in found if name.startswith("means_of_runs")]
    assert not list(tmp_path.glob("difference_*")), "runs are compared when there is a reference"
    with h5py.File(paths[0]) as file:
        assert file["entry/scan_id"][()] == 1
    worked(tmp_path, runs[::-1], group_by="run", reference="2")
    assert len(list(tmp_path.glob("difference_*"))) == 2


def test_work_goes_on_where_it_was_broken_off(night, tmp_path):
    runs, _, out = night

    def breaking(outputs):
        def take(group):
            if group.name == "delay=1":
                raise KeyboardInterrupt
            return outputs.take(group)

        return take

    with pytest.raises(KeyboardInterrupt):
        worked(tmp_path, runs, on_group=breaking)
    kept = (tmp_path / "delay=0.h5").stat().st_mtime_ns
    assert not (tmp_path / "report.html").exists()
    worked(tmp_path, runs)
    assert (tmp_path / "delay=0.h5").stat().st_mtime_ns == kept, "it was done already"
    names = {path.name for path in out.iterdir()}
    assert {path.name for path in tmp_path.iterdir()} == names
    ours, theirs = (read_results(folder / "summary.h5") for folder in (tmp_path, out))
    assert difference(
        {name: one.signal.values for name, one in theirs.items()},
        {name: one.signal.values for name, one in ours.items()},
    ) is None  # fmt: skip


def test_another_reference_replaces_the_differences(night, tmp_path):
    runs, _, _ = night
    worked(tmp_path, runs)
    assert not (tmp_path / "difference_delay=0.h5").exists()
    worked(tmp_path, runs, reference="1")
    names = {path.name for path in tmp_path.glob("difference_*")}
    assert names == {"difference_delay=0.h5", "difference_delay=0.5.h5"}
    (tmp_path / "delay=0.h5").unlink()
    with pytest.raises(OutputError, match=r"delay=0.h5 is gone.*bring it back, or .* --restart"):
        worked(tmp_path, runs)


def test_results_of_other_work_are_not_touched(night, tmp_path):
    runs, _, _ = night
    worked(tmp_path, runs[:2])
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.*")}
    with pytest.raises(OutputExistsError, match=r"of other work .* choose another directory"):
        worked(tmp_path, runs)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.*")} == before


def test_a_file_of_the_users_is_never_replaced(night, tmp_path):
    runs, _, _ = night
    for name in ("summary.h5", "delay=0.h5"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(OutputExistsError, match="nothing is overwritten"):
            worked(folder, runs)
        assert (folder / name).read_text() == "mine"


def test_restart_removes_what_the_last_work_has_left_and_no_more(night, tmp_path):
    runs, _, _ = night
    worked(tmp_path, runs[:2])
    (tmp_path / "notes.txt").write_text("mine")
    mine = DataGroup("c", "c", Quantity("y", np.arange(3)), (Quantity("x", np.arange(3)),))
    write_results(tmp_path / "mine.h5", [mine], title="mine", start={})
    recipe = Recipe.of(live(), ["another"], group_by="delay")
    Outputs(tmp_path, recipe).begin(restart=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"notes.txt", "mine.h5", "settings.yaml", ".reprocess"}


def test_names_of_files_tell_groups_apart():
    names = ["delay=-1", "delay=1", "delay=1.0", "laser on", "laser_on", "laser/on", "a" * 300, "."]
    found = [file_name(name) for name in names]
    assert len(set(found)) == len(names)
    assert all(len(name.encode()) < 120 and "/" not in name for name in found)
    assert found[:2] == ["delay=-1", "delay=1"]


def summary(name, values, mean=1.0, sem=0.1):
    numbers = Numbers("spot", "", "counts", mean, 1.0, sem, 4, 2, 0.1)
    return GroupSummary(name, values, 4, [], {"spot": numbers})


def test_groups_of_two_keys_make_a_curve_for_each_word():
    groups = [
        summary(f"{sample} {delay}", {"start.sample": sample, "delay": delay}, mean=delay)
        for sample in ("Si", "LaB6") for delay in (2.0, -1.0, 0.0)
    ]  # fmt: skip
    curves = curves_of(groups)
    assert [curve.path for curve in curves] == [
        "means/spot/start.sample LaB6", "means/spot/start.sample Si",
    ]  # fmt: skip
    for curve in curves:
        assert curve.axes[0].name == "delay"
        assert curve.axes[0].values.tolist() == curve.signal.values.tolist() == [-1, 0, 2]


def test_groups_of_words_stand_in_a_row():
    groups = [summary(name, {"start.sample": name}) for name in ("Si", "LaB6")]
    (series,) = series_of(groups)
    assert series.x.values.tolist() == ["LaB6", "Si"]
    (curve,) = curves_of(groups)
    curve.check()


def test_what_has_no_value_stands_last():
    groups = [summary(n, {"delay": v}) for n, v in (("c", float("nan")), ("b", 1.0), ("a", "x"))]
    assert [group.name for group in in_order(groups)] == ["b", "a", "c"]


def test_a_reference_is_found_by_its_name_or_value():
    groups = [summary(f"delay={d:g}", {"delay": d}) for d in (1.0, -1.0, 5.0)]
    assert reference_of(groups).name == "delay=-1"
    assert reference_of(groups, "5").name == "delay=5"
    assert reference_of(groups, "delay=1").name == "delay=1"
    with pytest.raises(NoReferenceError, match=r"--reference 7: found 0 such.*delay=-1, del"):
        reference_of(groups, "7")


def test_errors_of_differences_add_in_quadrature_and_masks_unite():
    q = Quantity("q", np.array([1.0, 2.0]), "1/angstrom")

    def results(intensity, error, image, n_valid, masked):
        attributes = {"n_frames": 4, "detector": "d"}
        return {
            "azimuthal/d": DataGroup(
                "azimuthal/d", "I(q)", Quantity("intensity", np.full(2, intensity)), (q,),
                errors=np.full(2, error), attributes=attributes,
            ),
            "accumulated/d": DataGroup(
                "accumulated/d", "sum", Quantity("image", np.array([[image, 0.0]])),
                (Quantity("y", np.arange(1)), Quantity("x", np.arange(2))),
                columns=(Quantity("n_valid", np.array([[n_valid, 0 if masked else 4]])),),
                mask=np.array([[False, masked]]), attributes=attributes,
            ),
        }  # fmt: skip

    mine, theirs = results(5.0, 3.0, 12.0, 3, masked=False), results(1.0, 4.0, 8.0, 4, masked=True)
    curve, image = differences(mine, theirs, "a", "b")
    assert curve.path == "azimuthal_differences/d"
    assert curve.signal.values.tolist() == [4, 4]
    assert curve.errors.tolist() == [5, 5]
    assert image.signal.values.tolist() == [[2, 0]], "12 in 3 valid frames, less 8 in 4"
    assert image.mask.tolist() == [[False, True]]


def test_i_of_q_of_groups_is_one_image_in_the_summary(tmp_path):
    night = take_night(tmp_path, 2, (-1.0, 0.5), 2, (64, 64))
    settings = {"geometries": night.geometry, "azimuthal": {"n_bins": 50}, "photon_files": False}
    analysis = LiveAnalysis(**settings)
    out = tmp_path / "out"
    outputs = Outputs(out, Recipe.of(analysis, ["a", "b"], group_by="delay"))
    outputs.begin()
    done = reprocess(night.paths, analysis, workers=1, group_by="delay", on_group=outputs.take)
    outputs.finish(done)
    stack = read_results(out / "summary.h5")["curves/azimuthal/pilatus"]
    assert stack.axes[0].values.tolist() == [-1, 0.5]
    assert stack.signal.values.shape == (2, 50)
    alone = read_results(out / "delay=0.5.h5")["azimuthal/pilatus"]
    assert alone.signal.values.tolist() == stack.signal.values[1].tolist()
    assert "running" not in alone.title
    again = LiveAnalysis(**read_settings(out / "settings.yaml"))
    assert again.settings_record() == analysis.settings_record(), "a geometry is read as written"
    apart = read_results(out / "summary.h5")["differences/delay=0.5/azimuthal_differences/pilatus"]
    assert apart.signal.values == pytest.approx(stack.signal.values[1] - stack.signal.values[0])
