"""Blocks that processes of this computer do: receipts in order, lost blocks done again, failures named, nothing left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from block_jobs import begun_blocks, open_blocks, open_nothing, results
from refusals import raises_naming

from deepnets4eo.errors import InputError, OutputError, RunError
from deepnets4eo.jobs import FinishBlocks, RemoteSteps, WorkerRefusedError, Workers, block_of_step
from deepnets4eo.jobs.blocks import BlockPool, BlockWork, Receipt, do_block, failed_receipt, versions
from deepnets4eo.jobs.dask_cluster import DaskCluster
from deepnets4eo.jobs.executors import LocalProcesses

NAMES = [f"block-{number}" for number in range(7)]


@pytest.fixture(scope="module")
def processes() -> Iterator[BlockPool]:
    with LocalProcesses(2) as pool:
        yield pool


def test_a_block_whose_process_is_killed_is_done_once_more_and_the_others_once(
    processes: BlockPool, tmp_path: Path
) -> None:
    work = BlockWork(open_blocks, (tmp_path, {"block-3": "die once", "block-0": "sleep 0.2"}))
    receipts = list(processes.run(work, NAMES))
    assert receipts == [Receipt(name) for name in NAMES]
    assert results(tmp_path) == {name: f"result of {name}" for name in NAMES}
    begun = begun_blocks(tmp_path)
    assert begun.count("block-3") == 2
    assert sum(begun.count(name) - 1 for name in NAMES) <= 2  # and what the other process was in


def test_blocks_that_are_handed_out_and_not_begun_are_left_out_when_nobody_wants_them(
    processes: BlockPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepnets4eo.jobs.blocks.AHEAD", 20)
    names = [f"block-{number}" for number in range(40)]
    receipts = processes.run(BlockWork(open_blocks, (tmp_path, dict.fromkeys(names, "sleep 0.3"))), names)
    assert next(receipts) == Receipt("block-0")
    receipts.close()
    (later := tmp_path / "later").mkdir()
    assert list(processes.run(BlockWork(open_blocks, (later, {})), names[:2])) == [Receipt(name) for name in names[:2]]
    assert len(begun_blocks(tmp_path)) < 20


def test_a_block_that_fails_three_times_is_named_with_the_cause(processes: BlockPool, tmp_path: Path) -> None:
    receipts = list(processes.run(BlockWork(open_blocks, (tmp_path, {"block-1": "raise"})), NAMES[:3]))
    assert [receipt.failure for receipt in receipts] == ["", "ValueError: no such luck (3 times)", ""]
    assert begun_blocks(tmp_path).count("block-1") == 3
    assert set(results(tmp_path)) == {"block-0", "block-2"}


def test_a_worker_that_cannot_open_the_job_or_has_other_versions_ends_it(
    processes: BlockPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raises_naming(WorkerRefusedError, tmp_path):
        list(processes.run(BlockWork(open_nothing, (tmp_path,)), NAMES))
    monkeypatch.setattr(processes, "_expected", versions() | {"numpy": "0.1"})
    with raises_naming(WorkerRefusedError, "0.1"):
        list(processes.run(BlockWork(open_blocks, (tmp_path, {})), NAMES))
    assert not results(tmp_path)


def test_no_process_outlives_a_job_that_is_killed_and_the_job_goes_on_with_what_is_left(tmp_path: Path) -> None:
    faults = dict.fromkeys(NAMES[2:], "sleep 60")
    script = (
        "from pathlib import Path\nfrom block_jobs import open_blocks\n"
        "from deepnets4eo.jobs.blocks import BlockWork\nfrom deepnets4eo.jobs.executors import LocalProcesses\n"
        "if __name__ == '__main__':\n"
        "    with LocalProcesses(2) as pool:\n"
        f"        list(pool.run(BlockWork(open_blocks, (Path({str(tmp_path)!r}), {faults!r})), {NAMES!r}))\n"
    )
    (tmp_path / "job.py").write_text(script, encoding="utf-8")
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    job = subprocess.Popen([sys.executable, tmp_path / "job.py"], env=os.environ | {"PYTHONPATH": paths})
    wait_for(lambda: len(begun_blocks(tmp_path)) >= 4)
    workers = children(job.pid)
    job.send_signal(signal.SIGKILL)
    job.wait()
    assert len(workers) >= 2
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
    assert list(results(tmp_path)) == NAMES[:2]
    for name in NAMES:
        do_block(BlockWork(open_blocks, (tmp_path, {})), name, versions())
    again = begun_blocks(tmp_path)
    assert [again.count(name) for name in NAMES] == [1, 1, 2, 2, 1, 1, 1]  # the two that were in work, no other


def children(pid: int) -> list[int]:
    """Processes that a process has started, without the tracker of its shared memory."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8")
    commands = {int(one): Path(f"/proc/{one}/cmdline").read_bytes() for one in text.split()}
    return [one for one, command in commands.items() if b"resource_tracker" not in command]


def wait_for(happened) -> None:
    """Wait until something has happened, for two minutes at most."""
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


class Doing:
    """Does blocks at once in this process; some of them fail."""

    def __init__(self, *failing: str) -> None:
        self.failing, self.names = failing, list[str]()

    def run(self, work: BlockWork, blocks) -> Iterator[Receipt]:
        for block in blocks:
            self.names.append(block)
            yield Receipt(block, "no" if block in self.failing else "")


def test_steps_send_only_what_is_not_finished_and_tell_what_failed() -> None:
    executor, shares = Doing("c"), list[float]()
    steps = RemoteSteps(executor, open_blocks, ())
    assert steps.finish("evidence", list("abcd"), str, ["b"], shares.append) == {"c": "no"}
    assert executor.names == list("acd")
    assert shares == [0.5, 0.75, 1.0]
    assert steps.failures == {"evidence": {"c": "no"}}
    with raises_naming(RunError, "4 blocks"):
        RemoteSteps(Doing(*"abcd"), open_blocks, ()).finish("evidence", list("abcd"), str, [], None)


def test_a_worker_takes_the_function_of_one_step_and_passes_over_those_before() -> None:
    done: list[dict[str, str]] = []

    def job(finish: FinishBlocks) -> None:
        for step, do in (("first", str.upper), ("second", str.lower)):
            done.append(finish(step, ["A"], do, [], None))

    assert block_of_step(job, "second") is str.lower
    assert done == [{"A": "done by others"}] * 2
    with pytest.raises(WorkerRefusedError, match="the job has no step third here"):
        block_of_step(job, "third")


def test_a_full_disk_ends_the_job_and_is_not_tried_again() -> None:
    with pytest.raises(OutputError, match="full"):
        failed_receipt("a", OutputError("the disk is full"), last=False)
    with pytest.raises(WorkerRefusedError, match="cannot import the code of the job"):
        failed_receipt("a", ModuleNotFoundError("No module named 'deepnets4eo.jobs.blocks'"), last=True)
    assert failed_receipt("a", ValueError("x"), last=False) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3", Workers(3)),
        ("processes:2", Workers(kind="processes", count=2)),
        ("tcp://localhost:8786", Workers(kind="scheduler", address="tcp://localhost:8786")),
        ("tcp://127.0.0.1:1", Workers(kind="scheduler", address="tcp://127.0.0.1:1")),
        ("tls://cluster:8786", Workers(kind="scheduler", address="tls://cluster:8786")),
    ],
)
def test_who_works_is_told_in_one_word(text: str, expected: Workers) -> None:
    assert Workers.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["0", "many", "dask", "dask:4", "processes:0", "-1", "tcp://localhost", "http://localhost:1"]
)
def test_other_words_are_refused_with_examples(text: str) -> None:
    with raises_naming(InputError, "4", "processes:4"):
        Workers.parse(text)


@pytest.mark.parametrize("address", ["tcp://10.0.0.7:8786", "tcp://cluster:8786", "tcp://0.0.0.0:8786"])
def test_a_scheduler_that_others_can_reach_is_refused(address: str) -> None:
    with raises_naming(InputError, "TLS"):
        Workers.parse(address)


def test_workers_are_threads_so_many_processes_or_a_scheduler() -> None:
    processes = Workers.parse("processes:3").executor()
    assert isinstance(processes, LocalProcesses)
    assert processes._count == 3
    assert isinstance(Workers.parse("tcp://127.0.0.1:8786").executor(), DaskCluster)
    with Workers.parse("3").executor() as nobody:
        assert nobody is None
    assert Workers.parse("processes:1") == Workers(kind="processes", count=1)
    for text in ("0", "processes:0", "four", "-1"):
        with pytest.raises(InputError, match="is no number of threads"):
            Workers.parse(text)
