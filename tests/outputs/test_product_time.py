"""The time that products state: of the environment, else of the newest input whose time can be written."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from refusals import raises_naming

from deepnets4eo import system
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import product_time

DAY = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    for name, seconds in {"a": 1_000_000_000, "b": 2_000_000_000, "c": -5}.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (seconds, seconds))
    return {name: str(tmp_path / name) for name in "abc"}


def test_files_whose_time_no_product_can_state_have_none(
    inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some file systems keep times beyond the year 9999."""
    monkeypatch.setattr(system, "END_S", 1_500_000_000)
    assert product_time(inputs) == DAY
    assert product_time({name: inputs[name] for name in "bc"}) is None


def test_an_empty_time_of_the_environment_is_none(inputs: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "")
    assert product_time({"a": inputs["a"]}) == DAY
    assert "SOURCE_DATE_EPOCH" not in os.environ, "fontTools reads it as a number"


@pytest.mark.parametrize("text", ["x", "-1", "1e9", "253402300800", "9" * 30, " "])
def test_a_time_that_is_none_is_refused_before_any_work(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with raises_naming(InputError, "SOURCE_DATE_EPOCH"):
        product_time({})
    assert main(["polygons", "lacking.tif", "--out", "a.gpkg"]) == 2
    assert "SOURCE_DATE_EPOCH" in capsys.readouterr().err
