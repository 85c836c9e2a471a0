"""Processes of one job: each knows its rank, logs and errors reach the caller, and none is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rank_jobs import LONG_S, fail_second, note_rank, work_until_interrupted

from deepnets4eo.errors import DeepNets4EOError, InputError
from deepnets4eo.training.ranks import Rank, run_ranks

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.training.ranks.GRACE_S", 0.3)


def ranks(folder: Path) -> list[list[int]]:
    """What each process wrote: index, count, both on this computer, process id."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("?.json"))]


def wait_for(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    end_s = time.monotonic() + seconds
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.02)
    return condition()


def runs(process_id: int) -> bool:
    status = Path(f"/proc/{process_id}/stat")
    if Path("/proc").is_dir():
        try:
            return status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def test_each_process_knows_its_rank_and_the_first_ones_log_reaches_the_caller(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_ranks(2, note_rank, tmp_path)
    assert [one[:4] for one in ranks(tmp_path)] == [[0, 2, 0, 2], [1, 2, 1, 2]]
    assert caplog.messages == ["2 processes"]
    assert Rank.current() == Rank()


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("input", InputError, r"^no such file$"),
        ("unexpected", DeepNets4EOError, r"(?s)^process 2 of 2 failed:.*rank_jobs.*ZeroDivisionError: unexpected"),
        ("killed", DeepNets4EOError, r"^process 2 of 2 was ended by SIGKILL\. .*memory"),
    ],
)
def test_an_error_in_one_process_ends_all_and_is_raised(
    tmp_path: Path, how: str, kind: type[Exception], message: str
) -> None:
    started_s = time.monotonic()
    with pytest.raises(DeepNets4EOError, match=message) as error:
        run_ranks(2, fail_second, tmp_path, how)
    assert type(error.value) is kind
    assert time.monotonic() - started_s < LONG_S / 2
    assert not any(runs(one[-1]) for one in ranks(tmp_path))


def test_ctrl_c_is_passed_on_to_the_first_process_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def press() -> None:
        wait_for(lambda: len(ranks(tmp_path)) == 2)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    user = threading.Thread(target=press)
    user.start()
    with pytest.raises(KeyboardInterrupt):
        run_ranks(2, work_until_interrupted, tmp_path)
    user.join()
    assert [path.name for path in tmp_path.glob("interrupted-*")] == ["interrupted-0"]
    assert not any(runs(one[-1]) for one in ranks(tmp_path))
    assert signal.getsignal(signal.SIGINT) is before


CALLER = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
from rank_jobs import work_until_interrupted
from deepnets4eo.training.ranks import run_ranks
if __name__ == "__main__":
    run_ranks(2, work_until_interrupted, Path(sys.argv[2]))
"""


def test_no_process_outlives_a_caller_that_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "caller.py"
    script.write_text(CALLER)
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen([sys.executable, str(script), tests, str(tmp_path)]) as caller:
        assert wait_for(lambda: len(ranks(tmp_path)) == 2)
        caller.kill()
    assert wait_for(lambda: not any(runs(one[-1]) for one in ranks(tmp_path)))
