"""A training that says nothing for long is followed by lines of its own."""

import logging
import time
from pathlib import Path

import pytest

from deepnets4eo.training import Recipe, Task, TrainOptions, heartbeat
from deepnets4eo.training.heartbeat import line_per_minute, progress_drawn
from deepnets4eo.training.job import _train_as_rank

PACKAGE = logging.getLogger("deepnets4eo.tests")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == heartbeat.__name__]


def test_silence_is_followed_by_a_line_in_each_interval_with_what_was_said_last(caplog) -> None:
    with caplog.at_level(logging.INFO), line_per_minute("training baseline", 0.05):
        PACKAGE.info("fitting a forest")
        time.sleep(0.4)
    said = lines(caplog)
    assert 2 <= len(said) <= 8
    assert all(line.startswith("training baseline") and line.endswith("fitting a forest") for line in said)


def test_a_work_that_logs_or_draws_needs_no_line(caplog) -> None:
    with caplog.at_level(logging.INFO), line_per_minute("training", 0.5):
        for act in (progress_drawn, lambda: PACKAGE.info("step")) * 4:
            time.sleep(0.1)
            act()
    assert lines(caplog) == []
    time.sleep(0.05)
    assert not heartbeat._open


def test_every_task_is_followed_by_lines_also_one_that_fails(caplog, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(heartbeat, "EVERY_S", 0.05)

    def fit(recipe: Recipe, out: Path, options: TrainOptions) -> Path:
        time.sleep(0.2)
        raise ValueError("no memory")

    with caplog.at_level(logging.INFO), pytest.raises(ValueError, match="no memory"):
        _train_as_rank(Task(fit), Recipe(), tmp_path, TrainOptions())
    assert lines(caplog)
    assert not heartbeat._open
