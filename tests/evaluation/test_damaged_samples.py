"""Samples of maps that are damaged, or come from somebody else: refused in one line; no address is asked, no other image opened."""

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from geotiff import write_geotiff
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import MapReview
from deepnets4eo.evaluation.sampled.drawn import DrawnSample
from deepnets4eo.files import sha256

SHAPE = (24, 30)


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    labels = np.random.default_rng(0).integers(0, 3, (1, *SHAPE), dtype=np.uint8)
    write_geotiff(tmp_path / "map.tif", labels, crs="EPSG:32615", origin=(0, 24))
    write_geotiff(tmp_path / "image.tif", labels * 80, crs="EPSG:32615", origin=(0, 24))
    MapReview.draw(tmp_path / "map.tif", tmp_path / "sample.gpkg", looks=12, images=[tmp_path / "image.tif"])
    return tmp_path / "sample.gpkg"


def change(path: Path, **entries: object) -> Path:
    """Change entries of the table `drawn`; a function gets the entry that is there."""
    with closing(sqlite3.connect(path)) as database, database:
        about = json.loads(database.execute("SELECT about FROM drawn").fetchone()[0])
        about |= {name: value(about[name]) if callable(value) else value for name, value in entries.items()}
        database.execute("UPDATE drawn SET about = ?", (json.dumps(about),))
    return path


@pytest.mark.parametrize(
    "entries",
    [
        {"classes": []}, {"classes": "abc"}, {"colours": [None]}, {"stratum": lambda old: [*old[:-1], 7]},
        {"stratum": lambda old: [*old[:-1], -1]}, {"stratum": None}, {"pixels": [1, 2]}, {"pixels": [0, 0, 0]},
        {"hectares": [1, 2, float("nan")]}, {"kind": "other"}, {"maps": ["a", "b"]}, {"images": 3}, {"classes_of": [[0], [1]]},
        {"zones": {"limits": [], "pixels": [], "zone_of": []}}, {"kind": "difference"}, {"more": 1},
        {"classes": lambda old: [old[0]] * 3}, {"colours": lambda old: [[300, 0, 0], *old[1:]]},
    ],
)  # fmt: skip
def test_an_entry_that_does_not_fit_is_refused(drawn: Path, entries: dict[str, object]) -> None:
    with raises_naming(InputError, str(drawn)):
        MapReview.open(change(drawn, **entries))


ZONES = {"limits": [0.5, 0.0], "sizes": [[5.0, 2.5], [4.0, 1.0]], "zone_of": [0, 1, 1]}
ONE_MAP = {
    "classes": ["dry", "wet"], "colours": [None, [0, 0, 9]], "stratum": [0, 1, 1], "pixels": [9, 3], "hectares": [0.9, 0.3],
    "areas": [0.1, 0.1, 0.1], "images": [], "kind": "map", "maps": ["map.tif"], "zones": ZONES,
}  # fmt: skip
TWO_MAPS = ONE_MAP | {
    "kind": "difference", "maps": ["a.tif", "b.tif"], "classes_of": [[0, 1, 1], [1, 1, 0]], "zones": None, "areas": None, "hectares": None,
}  # fmt: skip


@pytest.mark.parametrize("whole", [ONE_MAP, TWO_MAPS], ids=["map", "difference"])
def test_a_whole_entry_is_read_as_it_is(whole: dict[str, Any]) -> None:
    read = DrawnSample.read(json.dumps(whole), Path("sample.gpkg"))
    assert {name: value for name, value in read.items() if name in whole} == json.loads(json.dumps(whole)) | {
        "colours": [None, (0, 0, 9)]
    }


def test_zones_of_an_earlier_sample_count_pixels() -> None:
    earlier = {name: value for name, value in ZONES.items() if name != "sizes"} | {"pixels": [[5, 2], [4, 1]]}
    read = DrawnSample.read(json.dumps(ONE_MAP | {"zones": earlier}), Path("sample.gpkg"))
    assert read["zones"]["sizes"] == [[5.0, 2.0], [4.0, 1.0]]


@pytest.mark.parametrize(
    ("whole", "entries", "what"),
    [
        (ONE_MAP, {"classes": ["dry", "dry"]}, "a class occurs twice"),
        (ONE_MAP, {"colours": [None]}, "as many colours as classes"),
        (ONE_MAP, {"pixels": [9, 3, 1]}, "as many counts of pixels as strata"),
        (ONE_MAP, {"pixels": [0, 0]}, "as many counts of pixels as strata"),
        (ONE_MAP, {"hectares": [0.9]}, "as many areas as strata"),
        (ONE_MAP, {"areas": [0.1, 0.1]}, "an area for each point"),
        (ONE_MAP, {"stratum": [0, 1, 2]}, "strata below their number"),
        (ONE_MAP, {"maps": ["a.tif", "b.tif"]}, "one map, or two"),
        (ONE_MAP, {"classes_of": [[0, 1, 1], [1, 1, 0]]}, "classes of both maps at all points"),
        (ONE_MAP, {"zones": ZONES | {"zone_of": [0, 1]}}, "zones of all points and classes"),
        (ONE_MAP, {"zones": ZONES | {"zone_of": [0, 1, 2]}}, "zones of all points and classes"),
        (ONE_MAP, {"zones": ZONES | {"sizes": [[5, 2]]}}, "zones of all points and classes"),
        (ONE_MAP, {"zones": ZONES | {"sizes": [[5, 2], [4]]}}, "zones of all points and classes"),
        (TWO_MAPS, {"stratum": [0, 1, 2]}, "strata below their number"),
        (TWO_MAPS, {"maps": ["a.tif"]}, "one map, or two"),
        (TWO_MAPS, {"classes_of": None}, "classes of both maps at all points"),
        (TWO_MAPS, {"classes_of": [[0, 1, 1], [1, 1]]}, "classes of both maps at all points"),
        (TWO_MAPS, {"classes_of": [[0, 1, 1], [1, 2, 0]]}, "known classes"),
    ],
)  # fmt: skip
def test_entries_that_contradict_each_other_are_named(
    whole: dict[str, Any], entries: dict[str, Any], what: str
) -> None:
    with pytest.raises(InputError, match=f"expected {what}"):
        DrawnSample.read(json.dumps(whole | entries), Path("sample.gpkg"))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sample SET look = 'first' WHERE look = 1", "UPDATE sample SET look = 1", "UPDATE sample SET look = 99 WHERE look = 1",
        "UPDATE sample SET answer = x'00ff'", "UPDATE sample SET id = x'00'", "UPDATE drawn SET about = 3", "UPDATE drawn SET about = NULL",
        "UPDATE drawn SET about = '[1]'", "UPDATE drawn SET about = '{'", "DELETE FROM drawn", "DROP TABLE drawn", "DROP TABLE sample",
    ],
)  # fmt: skip
def test_rows_that_were_not_drawn_are_refused(drawn: Path, statement: str) -> None:
    with closing(sqlite3.connect(drawn)) as database, database:
        triggers = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
    with raises_naming(InputError, str(drawn)):
        MapReview.open(drawn).result()


def test_damaged_bytes_end_in_one_line(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, chance = drawn.read_bytes(), random.Random(0)
    for number in range(40):
        damaged = bytearray(content[: chance.randrange(100, len(content))] if number % 4 == 0 else content)
        for _ in range(1 + number % 7):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        drawn.write_bytes(damaged)
        assert main(["review", str(drawn)]) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "image",
    [
        {"path": "http://127.0.0.1:9/a.tif", "bytes": None, "sha256": None}, "http://127.0.0.1:9/a.tif",
        {"path": "/etc/hostname", "bytes": 1, "sha256": "0" * 64}, "/etc/hostname", {"path": "/vsicurl/http://127.0.0.1:9/a.tif"},
    ],
)  # fmt: skip
def test_only_an_image_that_is_as_it_was_is_opened(drawn: Path, image: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.rasters.Layer.open", lambda *_, **__: pytest.fail("opened"))
    review = MapReview.open(change(drawn, images=[image]))
    with raises_naming(InputError, "--image"):
        review.page()


def test_the_image_that_was_given_is_opened_again_until_it_changes(drawn: Path) -> None:
    MapReview.open(drawn).page()
    image = drawn.with_name("image.tif")
    image.write_bytes(image.read_bytes() + b"\0")
    with raises_naming(InputError, "image.tif", "--image"):
        MapReview.open(drawn).page()


def test_no_secret_of_an_address_is_stored(drawn: Path) -> None:
    other = drawn.with_name("other.gpkg")
    review = MapReview.draw(
        drawn.with_name("map.tif"), other, looks=12, images=["https://me:word@example.org/a.tif?sig=S"]
    )
    assert review.about["images"][0]["path"] == "https://example.org/a.tif"
    for secret in (b"word", b"sig=S"):
        assert secret not in other.read_bytes()


def test_the_same_draw_makes_the_same_file(drawn: Path) -> None:
    again = drawn.with_name("again.gpkg")
    MapReview.draw(drawn.with_name("map.tif"), again, looks=12, images=[drawn.with_name("image.tif")])
    assert sha256(again) == sha256(drawn)


def test_values_beyond_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    labels = np.array([[[1, 2**63 + 5]]], np.uint64).repeat(9, 1)
    path = write_geotiff(tmp_path / "ids.tif", labels, crs="EPSG:32615", origin=(0, 9))
    with raises_naming(InputError, "ids.tif"):
        MapReview.draw(path, tmp_path / "sample.gpkg")


@pytest.mark.parametrize("unknown", [1, 300])
def test_a_confidence_without_a_value_at_a_labelled_pixel_is_refused(drawn: Path, unknown: int) -> None:
    values = np.random.default_rng(1).random((1, *SHAPE), np.float32)
    values.reshape(-1)[:unknown] = -1
    write_geotiff(drawn.with_name("sure.tif"), values, crs="EPSG:32615", origin=(0, 24), nodata=-1)
    with raises_naming(InputError, "sure.tif", "no value at some pixels"):
        MapReview.draw(
            drawn.with_name("map.tif"), drawn.with_name("b.gpkg"), looks=12, confidence=drawn.with_name("sure.tif")
        )
