"""A job on a Dask cluster of real processes: workers and the scheduler come and go, the blocks are done once each."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from block_jobs import CLUSTER, begun_blocks, open_blocks, results
from refusals import raises_naming

from deepnets4eo.errors import RunError
from deepnets4eo.jobs import WorkerRefusedError, dask_cluster
from deepnets4eo.jobs.blocks import BlockPool, BlockWork, Receipt, versions
from deepnets4eo.jobs.dask_cluster import DaskCluster

distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install deepnets4eo[dask]")
NAMES = [f"block-{number}" for number in range(6)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[BlockPool]:
    with start(2) as started, DaskCluster(started.scheduler_address) as pool:
        yield pool


def test_a_worker_killed_in_a_block_is_replaced_and_the_block_done_once_more(
    cluster: BlockPool, tmp_path: Path
) -> None:
    work = BlockWork(open_blocks, (tmp_path, {"block-2": "die once"}))
    assert list(cluster.run(work, NAMES)) == [Receipt(name) for name in NAMES]
    assert results(tmp_path) == {name: f"result of {name}" for name in NAMES}
    assert begun_blocks(tmp_path).count("block-2") == 2


def test_a_block_that_fails_three_times_is_named_with_the_cause(cluster: BlockPool, tmp_path: Path) -> None:
    receipts = list(cluster.run(BlockWork(open_blocks, (tmp_path, {"block-1": "raise"})), NAMES[:3]))
    assert [receipt.failure for receipt in receipts] == ["", "ValueError: no such luck (3 times)", ""]
    assert begun_blocks(tmp_path).count("block-1") == 3


def test_a_worker_of_another_version_is_refused(
    cluster: BlockPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_expected", versions() | {"deepnets4eo": "0.0.1"})
    with raises_naming(WorkerRefusedError, "deepnets4eo", "0.0.1"):
        list(cluster.run(BlockWork(open_blocks, (tmp_path, {})), NAMES))
    assert not results(tmp_path)


def start(workers: int, port: int = 0) -> Any:
    """A cluster on this computer whose workers the test counts itself."""
    import dask

    with dask.config.set(CLUSTER):
        return distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, host="127.0.0.1", scheduler_port=port, dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )  # fmt: skip


def soon(action: Callable[[], object]) -> threading.Timer:
    """Do something in a second, beside the job."""
    timer = threading.Timer(1.0, action)
    timer.start()
    return timer


def test_a_job_waits_for_workers_and_a_scheduler_that_were_lost_and_does_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = start(1)
    port, more = int(first.scheduler_address.rpartition(":")[2]), list[Any]()
    with DaskCluster(first.scheduler_address) as pool:
        receipts = pool.run(BlockWork(open_blocks, (tmp_path, {})), iter(NAMES))
        # one block at a time is handed out, so that the test knows what is left
        monkeypatch.setattr("deepnets4eo.jobs.blocks.AHEAD", 0)
        done = [next(receipts)]
        first.scale(0)
        timer = soon(lambda: first.scale(1))
        done.append(next(receipts))
        timer.join()
        first.close()
        timer = soon(lambda: more.append(start(1, port)))
        done += [next(receipts), next(receipts)]
        timer.join()
        assert done == [Receipt(name) for name in NAMES[:4]]
        assert begun_blocks(tmp_path) == NAMES[:4]
        more[0].scale(0)
        monkeypatch.setattr(dask_cluster, "PATIENCE_S", 6.0)  # more than one look takes on a busy computer
        monkeypatch.setattr(dask_cluster, "WARN_S", 0.5)
        began = time.monotonic()
        with raises_naming(RunError, "6", "tcp://127.0.0.1"):
            list(receipts)
        assert time.monotonic() - began < 60
        assert "has no worker; the job waits" in caplog.text
    more[0].close()
    with raises_naming(RunError, "tcp://127.0.0.1"):
        DaskCluster(f"tcp://127.0.0.1:{port}").start()
