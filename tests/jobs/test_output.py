"""The frame of map jobs: products appear together, what is there is kept unless it is said, and what is finished is found again."""

from pathlib import Path

import pytest

from deepnets4eo.errors import CompleteError, InputError, OutputError
from deepnets4eo.jobs.output import JobOutput
from deepnets4eo.jobs.parts import Part

NAMES = ("map.txt", "manifest.json")


def make(output: JobOutput, text: str, *, names: tuple[str, ...] = NAMES) -> dict[str, Path]:
    with output.begin(), output.products() as products:
        for name in names:
            (products.folder / name).write_text(text)
        return products.publish(names, known=(*NAMES, "extra.txt"))


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def interrupted(output: JobOutput) -> None:
    with pytest.raises(KeyboardInterrupt), output.begin() as scratch:
        folder = scratch.of("images", 3)
        folder.mkdir(parents=True)
        (folder / "step").write_text("finished")
        raise KeyboardInterrupt


def test_a_folder_is_replaced_whole_on_demand_alone_and_products_of_an_earlier_map_go(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert make(JobOutput(out), "one", names=("extra.txt", *NAMES)) == {
        name: out / name for name in ("extra.txt", *NAMES)
    }
    (out / "notes.txt").write_text("of the user")
    with pytest.raises(OutputError, match="exists already. Pass --overwrite to replace it, or choose another path"):
        make(JobOutput(out), "two")
    assert set(texts(out).values()) == {"one", "of the user"}
    make(JobOutput(out, overwrite=True), "two")
    assert texts(out) == {"map.txt": "two", "manifest.json": "two", "notes.txt": "of the user"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_job_that_fails_while_it_writes_leaves_the_map_that_was_there(tmp_path: Path) -> None:
    out = tmp_path / "out"
    make(JobOutput(out), "one")
    with pytest.raises(ValueError, match="no"), JobOutput(out, overwrite=True).products() as products:
        (products.folder / "map.txt").write_text("half")
        raise ValueError("no")
    assert texts(out) == dict.fromkeys(NAMES, "one")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_in_the_place_of_the_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with (
        pytest.raises(OutputError, match="is a file, expected a folder"),
        JobOutput(tmp_path / "out", overwrite=True).begin(),
    ):
        raise AssertionError("begun")


def test_what_is_finished_lies_where_the_same_inputs_find_it_and_goes_with_the_job(tmp_path: Path) -> None:
    out = tmp_path / "out"
    interrupted(JobOutput(out))
    with JobOutput(out, resume=True).begin() as scratch:
        assert (scratch.of("images", 3) / "step").read_text() == "finished"
        assert not scratch.of("images", 4).exists()
        with JobOutput(out, resume=True).products() as products:
            (products.folder / "manifest.json").write_text("made")
            products.publish(["manifest.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(CompleteError, match="already complete"), JobOutput(out, resume=True).begin():
        pass


def test_a_new_job_begins_from_nothing_and_refused_inputs_leave_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    interrupted(JobOutput(out))
    with pytest.raises(InputError, match="no such"), JobOutput(out).begin() as scratch:
        assert not scratch.folder.exists()
        scratch.of("a").mkdir(parents=True)
        raise InputError("no such image")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mark", "state"), [("part-1-of-2", "done"), (".partial-rows-1-of-2-labels.tif", "begun")])
def test_parts_are_not_removed_by_a_job_that_does_not_say_so(tmp_path: Path, mark: str, state: str) -> None:
    out = tmp_path / "out"
    with JobOutput(out, part=Part(1, 2)).begin() as scratch:
        scratch.of("images").mkdir(parents=True)
        (scratch.of("images") / mark).write_text("")
    with pytest.raises(OutputError, match=f"1 part of a job into .*out is {state}. Pass --resume to make the map"):
        make(JobOutput(out), "new")
    make(JobOutput(out, resume=True), "of the parts")
    assert texts(out)["map.txt"] == "of the parts"


def test_a_full_disk_says_how_to_go_on(tmp_path: Path) -> None:
    for output, how in (
        (JobOutput(tmp_path / "a"), "What is done is kept: go on with --resume then"),
        (JobOutput(tmp_path / "b", part=Part(1, 2)), "What is done is kept: start the part again then"),
    ):
        with pytest.raises(OutputError, match=f"the disk is full. {how}"), output.begin() as scratch:
            scratch.of(1).mkdir(parents=True)
            raise OutputError("the disk is full.")


def test_a_single_file_goes_on_and_is_complete_without_a_manifest(tmp_path: Path) -> None:
    out = tmp_path / "cloud.laz"
    interrupted(JobOutput(out, last=""))
    out.write_text("of an older job")
    with pytest.raises(
        OutputError, match="exists already. Pass --overwrite to replace it, --resume to go on with it, or"
    ):
        JobOutput(out, last="").check()
    with JobOutput(out, resume=True, last="").begin() as scratch:
        assert scratch.of("images", 3).is_dir()
    with pytest.raises(CompleteError, match="already complete"):
        JobOutput(out, resume=True, last="").check()


def test_products_that_are_inputs_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "map.txt").write_text("")
    with pytest.raises(OutputError, match=r"map\.txt is read by this job"):
        JobOutput(tmp_path / "out").check_apart(NAMES, str(tmp_path / "out" / "map.txt"), None)
