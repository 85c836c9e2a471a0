"""What a job records of its inputs and options, when they are the same, and where many files lie."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from refusals import raises_naming

from deepnets4eo.errors import CompleteError, OtherJobError, OutputError
from deepnets4eo.inspection import overlap
from deepnets4eo.inspection.overlap import PIXELS, WORLD_FILE, overlaps
from deepnets4eo.jobs import JobOutput
from deepnets4eo.jobs.records import UNKNOWN, InputState, JobRecord, _change


def state(name: str = "a.tif", at: str = "", content: str = "", files: tuple[Path, ...] = ()) -> InputState:
    return InputState(name, at, content, files)


FILES = (Path("/nothing/a.tif"),)


@pytest.mark.parametrize(
    ("now", "before", "same"),
    [
        (state(at="1"), state(at="1"), True),
        (state(at="1"), state("b.tif", "1"), True),  # moved, and unchanged
        (state(at=UNKNOWN), state(at="1"), None),
        (state(at="1"), state(at=UNKNOWN), None),
        (state(at="1", content="x"), state(at="2", content="x"), True),  # copied
        (state(at="1", content="x"), state(at="2", content="y"), False),
        (state(at="1"), state(at="2", content="x"), False),  # of an address
        (state(at="1", files=FILES), state(at="2"), None),  # nobody measured what was in it
        (state(at="1", files=FILES), state(content="x"), False),
        (state(content="x"), state(content="x"), True),
        (state("a"), state("a"), True),  # words
        (state("a"), state("b"), False),
    ],
)
def test_an_input_is_the_same_by_its_state_or_its_content(now: InputState, before: InputState, same: bool | None) -> None:  # fmt: skip
    assert now.is_same(before) is same
    words = {True: "", None: "it cannot be known whether a.tif is unchanged"}
    changed = f"{before.name} then, {now.name} now" if now.name != before.name else f"{now.name} has changed"
    assert now.difference(before) == words.get(same, changed)


def test_inputs_are_described_by_what_they_are(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_text(name)
    one, two = (InputState.of(tmp_path / name) for name in ("a.tif", "b.tif"))
    assert (one.name, one.files, one.content) == (str(tmp_path / "a.tif"), (tmp_path / "a.tif",), "")
    assert one.state != two.state
    assert one.with_content().content
    assert one.with_content().content != two.with_content().content
    folder = InputState.of(tmp_path)
    assert folder.files == (tmp_path / "a.tif", tmp_path / "b.tif")
    both = InputState.of([tmp_path / "a.tif", tmp_path / "b.tif"])
    assert (both.name, both.files) == (f"{tmp_path / 'a.tif'}, {tmp_path / 'b.tif'}", folder.files)
    assert InputState.of([tmp_path / "a.tif"]) == one
    assert InputState.of({"b": tmp_path / "b.tif", "a": tmp_path / "a.tif"}) == both  # by their keys
    assert InputState.of("a word") == InputState("a word")
    part = InputState.of(f"{tmp_path / 'a.tif'}#red")
    assert part.with_content().content != one.with_content().content
    first, second = (InputState.of(np.full((4, 4), value)) for value in (1, 2))
    assert (first.name, first.state, first.content == second.content) == ("ndarray", "", False)
    assert InputState.of(np.full((4, 4), 1)) == first
    assert InputState.of(np.full((4, 4), 1, np.int16)).content != first.content
    masked = np.ma.array(np.full((4, 4), 1), mask=np.eye(4, dtype=bool))
    assert InputState.of(masked).content != first.content
    assert InputState.from_dict(one.with_content().to_dict()) == InputState(one.name, one.state, one.with_content().content)  # fmt: skip
    assert InputState("a").to_dict() == {"name": "a"}


def record(version: str = "1", **options: Any) -> JobRecord:
    return JobRecord({"image": InputState("a.tif", "1")}, options, version)


def test_two_jobs_differ_by_input_option_or_version() -> None:
    assert record(tile=1).differences(record(tile=1)) == {}
    assert record(tile=1).differences(record(tile=2)) == {"tile": "2 then, 1 now"}
    assert record().differences(record(tile=2)) == {"tile": "2 then, None now"}
    assert record("2").differences(record("1")) == {"version": "'1' then, '2' now"}
    more = JobRecord({"image": InputState("a.tif", "2"), "dsm": InputState("d.tif")}, {}, "1")
    assert more.differences(record()) == {"image": "a.tif has changed", "dsm": "None then, d.tif now"}
    assert record().differences(more)["dsm"] == "d.tif then, None now"
    nested = _change({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 1, "c": 4}, "d": 3, "e": 5})
    assert nested == "a c 2 then, 4 now, e None then, 5 now"
    assert _change("x" * 90, 1) == f"'{'x' * 79}… then, 1 now"


def test_another_job_is_refused_and_a_complete_one_is_named() -> None:
    record(tile=1).check_same(record(tile=1), "out.tif")
    with raises_naming(OtherJobError, "out.tif", "tile 2 then, 1 now", "--overwrite"):
        record(tile=1).check_same(record(tile=2), "out.tif")
    with raises_naming(OtherJobError, "does not state which inputs"):
        record().check_same(None, "out.tif")
    with raises_naming(CompleteError, "already complete", "out.tif"):
        record().check_complete({Path("out.tif"): record()})
    with raises_naming(OtherJobError, "b.tif", "tile"):
        record(tile=1).check_complete({Path("a.tif"): record(tile=1), Path("b.tif"): record()})


def test_a_record_is_read_as_it_was_written_and_anything_else_is_none(tmp_path: Path) -> None:
    known = record(tile=1, names=["a"])
    assert JobRecord.from_dict(known.to_dict()) == known
    for wrong in (
        None,
        {},
        [],
        {"inputs": 3, "options": {}, "version": ""},
        {"inputs": {}, "options": 3, "version": ""},
    ):
        assert JobRecord.from_dict(wrong) is None
    assert (JobRecord.parse(None), JobRecord.parse("no JSON"), JobRecord.read(tmp_path / "absent.json")) == (None,) * 3
    (tmp_path / "a.json").write_text('{"job": {"inputs": {}, "options": {"tile": 1}, "version": "1"}}')
    found = JobRecord.read(tmp_path / "a.json", "job")
    assert found == JobRecord({}, {"tile": 1}, "1")
    assert JobRecord.read(tmp_path / "a.json") is None
    (tmp_path / "b.tif").write_text("b")
    of_file = JobRecord({"image": InputState.of(tmp_path / "b.tif")}, {}, "1")
    line = JobRecord.parse(of_file.to_text())
    assert line is not None
    assert (line.inputs["image"].name, line.inputs["image"].state, bool(line.inputs["image"].content)) == ("b.tif", "", True)  # fmt: skip
    assert list(of_file.tags) == ["JOB"]


def test_options_that_shape_no_result_and_inputs_that_are_not_given_are_not_recorded() -> None:
    found = JobRecord.of({"image": "word", "dsm": None, "mask": [], "cloud": {}}, {"workers": 3, "tile": 1, "image": 5}, seed=7, part="1/2")  # fmt: skip
    assert list(found.inputs) == ["image"]
    assert {name: value for name, value in found.options.items() if name != "packages"} == {"tile": 1, "seed": 7}


def placed(name: str, x: float, *, kind: str = "raster", side: int = 10, crs: str | None = "EPSG:32633", step: float = 1.0, **more: Any) -> Any:  # fmt: skip
    grid = GeoBox((side, side), Affine(step, 0, 500_000 + x, 0, -step, 4_000_000), crs)
    return SimpleNamespace(**({"path": name, "kind": kind, "grid": grid, "in_pixels": None, "areas_m2": None, "problems": [], "facts": {}} | more))  # fmt: skip


def test_two_files_cover_a_share_of_each_other() -> None:
    a, b = placed("a.tif", 0), placed("b.tif", 5, side=5)
    found = overlaps([a, b])
    assert sorted(found.lines) == ["a.tif covers 100.0% of b.tif", "b.tif covers 25.0% of a.tif"]
    assert found.problems == []
    assert overlaps([a, placed("c.tif", 10)]).lines == ["a.tif and c.tif lie next to each other, as tiles of one image do: a job takes their folder."]  # fmt: skip
    far = overlaps([a, placed("c.tif", 100)])
    assert far.lines == []
    assert far.problems[0].startswith("a.tif and c.tif do not overlap, so no job takes both.")
    assert overlaps([a, placed("c.gpkg", 10, kind="vector")]).problems != []  # outlines are no tiles
    assert overlaps([a, SimpleNamespace(kind="run", grid=None, in_pixels=None)]).lines == []


def test_files_of_one_grid_or_without_a_place_are_laid_pixel_on_pixel() -> None:
    three = [placed(name, 0) for name in ("a.tif", "b.tif", "c.tif")]
    assert overlaps(three).lines == ["a.tif, b.tif, c.tif lie on one grid."]
    plain = [placed("b.png", 0, crs=None), placed("a.png", 0, crs=None)]
    assert overlaps(plain).lines == ["a.png and b.png are of one size, without a position: they are laid pixel on pixel. Only a job measures whether they show one place."]  # fmt: skip
    mixed = [placed("b.tif", 0), SimpleNamespace(**{**vars(placed("a.png", 0, crs=None)), "grid": GeoBox((10, 10), Affine.identity(), None)})]  # fmt: skip
    assert overlaps(mixed).lines == ["a.png and b.tif are of one size and only one has a place: as layers of a scene they lie pixel on pixel."]  # fmt: skip


def test_many_files_are_reported_by_their_places() -> None:
    first = [placed(f"a{k}.tif", 10 * k) for k in range(4)]  # in a row
    second = [placed(f"b{k}.tif", 1000 + 10 * k) for k in range(3)]
    found = overlaps([*second, *first])
    assert [line.partition(":")[0] for line in found.lines] == ["4 files overlap or lie next to each other", "3 files overlap or lie next to each other"]  # fmt: skip
    assert found.problems[0].startswith("the files lie at 2 places that do not overlap, for example a0.tif and b0.tif")
    one = overlaps([placed(f"a{k}.tif", 10 * k) for k in range(7)])
    assert (len(one.lines), one.problems) == (1, [])
    plain = overlaps([*[placed(f"a{k}.tif", 10 * k) for k in range(6)], placed("p.png", 0, crs=None)])
    assert "1 file without a position: p.png." in plain.lines[1]
    assert plain.problems[0].startswith("1 of 7 files have no CRS, so no job takes all of them: p.png has none. a0.tif has one.")  # fmt: skip


@pytest.mark.parametrize(("placed_by_world_file", "coordinates"), [(False, PIXELS), (True, WORLD_FILE)])
def test_outlines_next_to_images_without_a_crs_are_in_their_coordinates(placed_by_world_file: bool, coordinates: str) -> None:  # fmt: skip
    grid = GeoBox((100, 100), Affine(2, 0, 7, 0, -2, 9) if placed_by_world_file else Affine.identity(), None)
    image: Any = SimpleNamespace(path="a.png", kind="raster", grid=grid, in_pixels=None, areas_m2=None, problems=[], facts={})  # fmt: skip
    box = (10.0, 20.0, 50.0, 60.0)
    outlines: Any = SimpleNamespace(path="b.geojson", kind="vector", grid=None, in_pixels=SimpleNamespace(problem="no degrees", box=box), areas_m2=None, problems=["no degrees", "other"], facts={})  # fmt: skip
    overlaps([image, outlines])
    assert (outlines.problems, outlines.facts) == (["other"], {"coordinates": coordinates})
    assert outlines.grid.shape == (overlap.SAMPLES, overlap.SAMPLES)
    assert tuple(outlines.grid.extent.boundingbox) == pytest.approx((10, 20, 50, 60))


def test_an_output_is_kept_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    plain = JobOutput(tmp_path / "map")
    assert (plain.resume, plain.overwrite, plain.part, plain.last, plain.replaces, plain.record_text) == (False, False, None, "manifest.json", False, "")  # fmt: skip
    plain.check()
    (tmp_path / "map").mkdir()
    (tmp_path / "map" / "manifest.json").write_text("{}")
    with raises_naming(OutputError, "map"):
        plain.check()
    JobOutput(tmp_path / "map", overwrite=True).check()
    with raises_naming(OtherJobError, "does not state which inputs"):
        JobOutput(tmp_path / "map", resume=True).check()
    with raises_naming(OutputError, "is a file, expected a folder"):
        JobOutput(tmp_path / "map" / "manifest.json").check()
