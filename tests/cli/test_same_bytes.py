"""Jobs with the same inputs write the same bytes at any time; the manifests alone say when and by which command they were made."""

import os
import sys
import types
from datetime import UTC, datetime, timezone
from pathlib import Path

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import product_time
from deepnets4eo.synthetic import City, Event

TIMED = {"manifest.json"}


def set_clock(patch: pytest.MonkeyPatch, seconds: float) -> None:
    """The clock of every module of the package, of matplotlib and of ZIP files."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: timezone | None = None) -> "Clock":  # type: ignore[override]
            return cls.fromtimestamp(seconds, tz)

    for module in [module for name, module in sys.modules.items() if name.startswith("deepnets4eo")]:
        if isinstance(module, types.ModuleType) and vars(module).get("datetime") is datetime:
            patch.setattr(module, "datetime", Clock)
    patch.setattr("time.time", lambda: seconds)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small city, a pair with a new lake, and the dates of a series."""
    folder, rng = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    City(11, 256, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4))).write(folder)
    dry = np.kron(rng.integers(40, 200, (3, 50, 50)), np.ones((1, 4, 4)))
    wet = dry.copy()
    wet[:, 60:140, 50:150] = np.array([120, 105, 80.0])[:, None, None]
    (folder / "dates").mkdir()
    for name, image in {
        "dry": dry,
        "wet": wet,
        **{f"dates/{2014 + year}-01-01": (dry if year < 6 else wet) + year % 2 for year in range(9)},
    }.items():
        write_geotiff(folder / f"{name}.tif", image.astype(np.uint8))
    return folder


def arguments(verb: str, place: Path) -> list[str]:
    pair = [str(place / name) for name in ("dry.tif", "wet.tif")]
    city = [str(place / name) for name in ("pre.tif", "post.tif", "footprints.gpkg")]
    also = "csv,geojson,kml,pmtiles,mbtiles,unosat,cems,osm,xbd,pdf,png,stac"
    return {
        "damage": ["damage", *city, "--also", also, "--set", "network=no"],
        "flood": ["flood", *pair, "--set", "assume_registered=yes"],
        "change": ["change", *pair, "--assume-registered"],
        "series": ["series", str(place / "dates")],
    }[verb]


@pytest.mark.parametrize("verb", ["damage", "flood", "change", "series"])
def test_two_jobs_at_two_times_write_the_same_bytes(
    verb: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    contents = []
    for name, seconds in (("one", 1_700_000_000.0), ("two", 1_710_000_123.0)):
        with monkeypatch.context() as patch:
            set_clock(patch, seconds)
            assert main([*arguments(verb, place), "--out", str(tmp_path / name)]) in (0, 3)
        contents.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir() if path.is_file()})
    first, second = contents
    assert first.keys() == second.keys()
    assert len(first) > 3
    assert {name for name in first if first[name] != second[name]} <= TIMED


def test_a_product_states_the_newest_time_of_its_inputs_or_the_time_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    inputs = {}
    for role, seconds in {"pre": 1_000_000_000.7, "post": 1_100_000_000.2, "run": 1_600_000_000.0}.items():
        (tmp_path / role).touch()
        os.utime(tmp_path / role, (seconds, seconds))
        inputs[role] = str(tmp_path / role)
    further = {"outlines": "https://example.org/outlines.gpkg", "gone": str(tmp_path / "gone")}
    assert product_time(inputs | further) == datetime(2004, 11, 9, 11, 33, 20, tzinfo=UTC)
    assert product_time(further) is None
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert product_time(inputs) == product_time({}) == datetime(1970, 1, 2, tzinfo=UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with raises_naming(InputError, "SOURCE_DATE_EPOCH", "'yesterday'", "1970"):
        product_time({})
