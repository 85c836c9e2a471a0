"""The frame of map jobs: products appear together, what is there is kept unless it is said, and what is finished is found again."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from refusals import raises_naming

from deepnets4eo.errors import CompleteError, InputError, OtherJobError, OutputError, UnreadableError
from deepnets4eo.jobs import JobOutput, Part

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
    with raises_naming(OutputError, "--overwrite"):
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
            (products.folder / "manifest.json").write_text("{}")
            products.publish(["manifest.json"])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    with pytest.raises(OtherJobError), JobOutput(out, resume=True).begin():  # nobody knows of what
        pass


class Job:
    """A job of one image: its text, beside an option and a number of threads, becomes the map."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out, self.image = folder, folder / "out", folder / "image.txt"
        self.image.write_text("first")

    def output(self, side: int = 3, workers: int = 1, image: Path | None = None, **how: Any) -> JobOutput:
        inputs = {"image": str(image or self.image), "mask": None}
        return JobOutput(self.out, **how).for_job(inputs, side=side, workers=workers)

    def run(self, side: int = 3, workers: int = 1, image: Path | None = None, **how: Any) -> None:
        output = self.output(side, workers, image, **how)
        with output.begin(), output.products() as products:
            (products.folder / "map.txt").write_text((image or self.image).read_text() + str(side))
            (products.folder / "manifest.json").write_text('{"made": true}')
            products.publish(NAMES)

    def interrupt(self, **how: Any) -> None:
        interrupted(self.output(**how))

    @property
    def map(self) -> str:
        return (self.out / "map.txt").read_text()

    @property
    def left(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name.startswith(".partial"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_the_same_job_is_complete_also_with_other_threads_and_a_touched_or_copied_image(job: Job) -> None:
    job.run()
    assert set(json.loads((job.out / "manifest.json").read_text())) == {"made", "job"}
    copy = job.folder / "copy.txt"
    copy.write_text("first")
    for change in ({}, {"workers": 9}, {"image": copy}):
        with pytest.raises(CompleteError):
            job.run(resume=True, **change)
    os.utime(job.image, (0, 0))
    with pytest.raises(CompleteError):
        job.output(resume=True).check()
    assert job.left == []


@pytest.mark.parametrize("change", ["content", "image", "side", "code", "nothing known", "one file fewer"])
def test_another_job_is_refused_with_what_differs_and_the_map_stays(
    job: Job, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.run()
    how: dict[str, Any] = {}
    if change == "content":
        state = job.image.stat()
        job.image.write_text("other")
        os.utime(job.image, ns=(state.st_atime_ns, state.st_mtime_ns + 1))
    elif change == "image":
        how["image"] = job.folder / "other.txt"
        how["image"].write_text("other")
        os.utime(how["image"], ns=(0, job.image.stat().st_mtime_ns))  # size and time are those of the first
    elif change == "side":
        how["side"] = 4
    elif change == "code":
        monkeypatch.setattr("deepnets4eo.jobs.identities.code_version", lambda: "0.0")
    elif change == "one file fewer":
        how["image"] = job.folder / "missing.txt"
    else:
        (job.out / "manifest.json").write_text("{}")
    expected = {"side": ("side",), "code": ("version",), "nothing known": ()}.get(change, ("image",))
    for refused in (job.output(resume=True, **how).check, lambda: job.run(resume=True, **how)):
        with pytest.raises(OtherJobError) as error:
            refused()
        assert error.value.differing == expected
    assert job.map == "first3"


def test_a_replacing_job_that_was_killed_goes_on_as_itself_alone(job: Job) -> None:
    """Before its scratch folder existed, it is refused: the map that is there is another one's."""
    job.run()
    with pytest.raises(OtherJobError) as error:
        job.run(side=4, resume=True)
    assert error.value.differing == ("side",)
    job.interrupt(side=4, overwrite=True)
    with pytest.raises(CompleteError):
        job.run(resume=True)  # the map that is there
    with pytest.raises(OtherJobError):
        job.run(side=5, resume=True)
    assert (job.map, job.left) == ("first3", [".partial-scratch-out"])
    job.run(side=4, resume=True)
    assert (job.map, job.left) == ("first4", [])


def test_a_finished_job_whose_scratch_is_left_is_complete_and_the_scratch_goes(job: Job) -> None:
    job.run()
    job.interrupt(part=Part(1, 2), overwrite=True)
    assert ".partial-scratch-out" in job.left
    with pytest.raises(CompleteError):
        job.run(resume=True)
    assert job.left == []


def test_a_read_that_fails_for_a_moment_keeps_what_is_finished(job: Job) -> None:
    def fail(error: Exception, *, finished: bool, **how: Any) -> str:
        with pytest.raises(type(error)) as raised, job.output(**how).begin() as scratch:
            if finished:
                scratch.of("a").mkdir(parents=True, exist_ok=True)
                (scratch.of("a") / "step").write_text("finished")
            raise error
        return str(raised.value)

    assert "--resume" not in fail(UnreadableError("HTTP 500."), finished=False)
    assert job.left == []
    assert fail(UnreadableError("HTTP 500."), finished=True).endswith("go on with --resume then.")
    assert job.left == [".partial-scratch-out"]
    again = fail(UnreadableError("HTTP 500."), finished=True, resume=True)
    assert "--resume" not in again
    assert "the same job again" in again
    assert fail(InputError("the images are swapped."), finished=True, resume=True) == "the images are swapped."
    assert list(job.folder.rglob("step"))


def test_a_hint_names_no_option_that_was_given(job: Job) -> None:
    def hints() -> Iterator[str]:
        for how in ({}, {"resume": True}):
            with pytest.raises(OutputError) as error:
                job.run(**how)
            yield str(error.value)

    job.interrupt(part=Part(1, 2))
    (part,) = (job.folder / ".partial-scratch-out").glob("*/")
    (part / "part-1-of-2").write_text("")
    with raises_naming(OutputError, "--resume", "--overwrite"):
        job.run()
    job.out.mkdir()
    (job.out / "map.txt").write_text("of somebody")
    (job.out / "manifest.json").write_text("{}")
    plain, resumed = hints()
    assert "--resume --overwrite" in plain
    assert "--overwrite" in resumed
    assert "--resume" not in resumed


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
    with raises_naming(OutputError, state, "1", "--resume"):
        make(JobOutput(out), "new")
    make(JobOutput(out, resume=True), "of the parts")
    assert texts(out)["map.txt"] == "of the parts"


def test_a_full_disk_says_how_to_go_on(tmp_path: Path) -> None:
    for output, how in (
        (JobOutput(tmp_path / "a"), "What is done is kept: go on with --resume then"),
        (JobOutput(tmp_path / "b", part=Part(1, 2)), "What is done is kept: start the part again then"),
    ):
        with raises_naming(OutputError, how), output.begin() as scratch:
            scratch.of(1).mkdir(parents=True)
            raise OutputError("the disk is full.")


def test_a_single_file_states_its_job_and_goes_on_where_that_was_allowed(tmp_path: Path) -> None:
    out = tmp_path / "cloud.laz"

    def output(side: int = 3, **how: Any) -> JobOutput:
        return JobOutput(out, last="", recorded=Path.read_text, **how).for_job({}, side=side)

    interrupted(output(overwrite=True))
    out.write_text("of an older job")
    with raises_naming(OutputError, "--overwrite", "--resume"):
        output().check()
    with output(resume=True).begin() as scratch:
        assert scratch.of("images", 3).is_dir()
        out.write_text(output().record_text)
    with pytest.raises(CompleteError):
        output(resume=True).check()
    with pytest.raises(OtherJobError) as error:
        output(4, resume=True).check()
    assert error.value.differing == ("side",)
    interrupted(output(4, part=Part(1, 2), overwrite=True))
    with pytest.raises(OtherJobError):  # which was not allowed to replace it
        output(4, resume=True).check()


def test_products_that_are_inputs_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "map.txt").write_text("")
    with raises_naming(OutputError, "map.txt"):
        JobOutput(tmp_path / "out").check_apart(NAMES, str(tmp_path / "out" / "map.txt"), None)
