"""A damage job whose blocks other processes do: the map of one process; a block that fails leaves out its buildings, and says so."""

from pathlib import Path

import pytest
from block_jobs import KilledError, OneByOne
from refusals import raises_naming
from small_grader import make_grader

from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageJob, DamageMap, FurtherInputs, Settings
from deepnets4eo.damage.files import inputs as file_inputs
from deepnets4eo.damage.structure import block, evidence as structure
from deepnets4eo.errors import InputError
from deepnets4eo.jobs import Executor, JobOutput, Journal, Part, WorkerRefusedError
from deepnets4eo.synthetic import City, Event

pytestmark = pytest.mark.usefixtures("labelled_once")
NAMES = ("pre.tif", "post.tif", "footprints.gpkg")
TABLES = ("damage.parquet", "damage.csv")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    City(11, 256, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4))).write(folder)
    make_grader(folder / "run")
    return folder


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of the evidence of 64 px."""
    monkeypatch.setattr(structure, "BLOCK_PX", 64)


class Silent:
    """A progress bar that nobody sees."""

    def __call__(self, _title: str) -> "Silent":
        return self

    def __enter__(self) -> list:
        return lambda share: None  # type: ignore[return-value]

    def __exit__(self, *_error: object) -> None:
        pass


def planned(place: Path, output: JobOutput) -> DamageJob:
    """A job with a network of its own."""
    settings = Settings(model=str(place / "run"), workers=1)
    pre, post, footprints = (str(place / name) for name in NAMES)
    return DamageJob.plan((pre, post), footprints, FurtherInputs(), settings, output, formats=["csv"])


def assess(place: Path, out: Path, executor: Executor | None = None, *, resume: bool = False) -> DamageMap:
    """The map of a job with a network of its own."""
    made = planned(place, JobOutput(out, resume)).run(Silent(), executor)  # type: ignore[arg-type]
    assert made is not None
    return made[0]


@pytest.fixture(scope="module")
def alone(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of a job of one process with blocks of 64 px."""
    patch = pytest.MonkeyPatch()
    patch.setattr(structure, "BLOCK_PX", 64)
    out = tmp_path_factory.mktemp("alone") / "map"
    assess(place, out)
    patch.undo()
    return tables(out)


def tables(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in TABLES}


def test_blocks_of_every_step_make_the_map_of_one_process_and_a_killed_job_does_each_once(
    place: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    whole = OneByOne()
    assess(place, tmp_path / "whole", whole)
    assert tables(tmp_path / "whole") == alone
    assert {step for step, _ in whole.done} >= {"network", "evidence", "network_post"}
    assert len(set(whole.done)) == len(whole.done) > 12
    first, second = OneByOne(stop=len(whole.done) // 2), OneByOne()
    with pytest.raises(KilledError):
        assess(place, tmp_path / "killed", first)
    assess(place, tmp_path / "killed", second, resume=True)
    assert tables(tmp_path / "killed") == alone
    assert sorted(first.done + second.done) == sorted(whole.done)


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (("evidence", "64-128"), "could not be measured: ValueError: no such luck (3 times)"),
        (("network", "96-96-96"), "could not be graded: ValueError: no such luck (3 times)"),
    ],
)
def test_buildings_of_a_block_that_fails_are_not_assessed_and_a_finding_says_so(
    place: Path, tmp_path: Path, failing: tuple[str, str], reason: str
) -> None:
    result = assess(place, tmp_path / "map", OneByOne(failing=" ".join(failing)))
    left_out = result.buildings[result.buildings["reason"] == reason]
    assert 0 < len(left_out) < len(result.buildings) / 2
    assert (left_out["status"] == "not_assessed").all()
    assert left_out["damage"].isna().all()
    (finding,) = [each for each in result.findings if each.code == "blocks_failed"]
    assert finding.severity == "caution"
    assert f"1 block of the work failed. The first is {failing[1]} of {failing[0]}" in finding.message


def test_no_building_is_assessed_where_the_only_block_fails(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(structure, "BLOCK_PX", block.BLOCK_PX)
    result = assess(place, tmp_path / "map", OneByOne(failing="evidence 0-0"))
    assert set(result.buildings["reason"]) == {"could not be measured: ValueError: no such luck (3 times)"}


def test_a_worker_that_sees_other_inputs_is_refused(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_inputs, "damage_journal", lambda *_: Journal(tmp_path / "nowhere"))
    with pytest.raises(WorkerRefusedError, match="holds no job of these inputs. Let all workers see the same files"):
        assess(place, tmp_path / "map", OneByOne())


def test_buildings_that_must_be_found_first_are_refused(place: Path, tmp_path: Path) -> None:
    images = str(place / "pre.tif"), str(place / "post.tif")
    job = DamageJob.plan(images, "-", FurtherInputs(), Settings(), JobOutput(tmp_path / "map"))
    with raises_naming(InputError, "FOOTPRINTS"):
        job.run(Silent(), OneByOne())  # type: ignore[arg-type]


def test_parts_whose_blocks_other_processes_do_make_the_map_of_one_process(
    place: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    done = list[tuple[str, str]]()
    for number in (2, 1):
        executor = OneByOne()
        job = planned(place, JobOutput(tmp_path / "map", part=Part(number, 2)))
        assert job.run(Silent(), executor) is None  # type: ignore[arg-type]
        done += [each for each in executor.done if each[0] in ("network", "evidence")]
    assert len(set(done)) == len(done) > 8
    last = OneByOne()
    assess(place, tmp_path / "map", last, resume=True)
    assert tables(tmp_path / "map") == alone
    assert not {step for step, _ in last.done} & {"network", "evidence"}


def test_the_command_line_takes_processes(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "BLOCK_PX", block.BLOCK_PX)
    words = [*(str(place / name) for name in NAMES), "--set", "network=no", "--also", "csv"]
    written = []
    for workers in ("1", "processes:1"):
        out = tmp_path / workers.replace(":", "-")
        assert main(["damage", *words, "--out", str(out), "--workers", workers]) == 0
        written.append(tables(out))
    assert written[0] == written[1]
