"""Limits at which files, headers, catalogues and messages are read or written otherwise, each from both sides."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.assistant.tools import Tools
from deepnets4eo.catalogues import plan as plans
from deepnets4eo.catalogues.candidates import Candidate, PlannedImage, _join, best_pair
from deepnets4eo.catalogues.options import FindOptions
from deepnets4eo.catalogues.plan import Plan
from deepnets4eo.display.summary import Summary
from deepnets4eo.errors import InputError, _message, name_hint, names_with_word
from deepnets4eo.formats import cf_words, databases, declared, envi, stac_items
from deepnets4eo.formats.category_legend import _hues
from deepnets4eo.formats.hdf5 import SIGNATURE, is_hdf5
from deepnets4eo.formats.protobuf import protobuf_fields, varint
from deepnets4eo.formats.wavelengths import to_nm
from deepnets4eo.grid import Window
from deepnets4eo.ground_area import GroundArea
from deepnets4eo.prediction.memory import tiles_that_fit
from deepnets4eo.rasters.shared_tags import _quoted

HEADER = Path("a.hdr")


@pytest.mark.parametrize(
    ("text", "number"), [("1" * 15, 111_111_111_111_111), ("1" * 16, None), ("0", None), ("1.5", None)]
)
def test_numbers_of_envi_headers_have_fifteen_digits(text: str, number: int | None) -> None:
    if number is None:
        with pytest.raises(InputError, match="expected a whole number of 1 or more"):
            envi._number(HEADER, {"lines": text}, "lines", 1)
    else:
        assert envi._number(HEADER, {"lines": text}, "lines", 1) == number


@pytest.mark.parametrize(("gain", "one"), [("0.00010000009", True), ("0.00010000011", False)])
def test_two_scales_of_a_header_are_one_to_a_millionth(gain: str, one: bool) -> None:
    entries = {"reflectance scale factor": "10000", "data gain values": f"{{{gain}, 0.0001}}"}
    if one:
        envi._check_scalars(HEADER, entries)
    else:
        with pytest.raises(InputError, match="states two scales"):
            envi._check_scalars(HEADER, entries)


def test_wrong_entries_are_shown_up_to_forty_and_sixty_characters() -> None:
    with pytest.raises(InputError, match=f"= {'a' * 40}, expected one number"):
        envi._check_scalars(HEADER, {"data ignore value": "a" * 50})
    assert cf_words._short("a" * 58) == "'" + "a" * 58 + "'"
    assert cf_words._short("a" * 59) == "'" + "a" * 59 + "…"
    assert _quoted("ab " * 20) == repr(" ".join(["ab"] * 20)), "59 letters"
    assert _quoted("ab " * 21) == repr(" ".join(["ab"] * 19) + " …")
    assert _quoted(None) == "nothing"
    assert stac_items._text("a" * 250) == "a" * 200


def test_colours_of_categories_are_apart_by_the_golden_section() -> None:
    """Hues of 0, 0.618 and 0.236 at a saturation of 0.75 and a value of 0.9."""
    hues = _hues(0)
    assert [next(hues) for _ in range(3)] == [(230, 57, 57), (57, 108, 230), (158, 230, 57)]
    assert next(_hues(1)) == (57, 108, 230)


@pytest.mark.parametrize(("value", "changes"), [(2**24 - 1, False), (2**24, True), (-(2**24), True)])
def test_whole_numbers_of_25_bits_change_in_a_column_of_single_precision(value: int, changes: bool) -> None:
    with sqlite3.connect(":memory:") as database:
        database.execute("create table a (n)")
        database.execute("insert into a values (?)", (value,))
        assert databases._changes(database, "a", "n", "float32") is changes


@pytest.mark.parametrize(
    ("dtype", "value", "is_exact"),
    [
        ("int64", 2.0**53 - 1, True), ("int64", 2.0**53, False), ("uint64", 2.0**64, False), ("int64", -(2.0**63), True), ("int64", -(2.0**62), False),
        ("float64", 1e300, True), ("int64", None, True),
    ],
)  # fmt: skip
def test_nodata_of_64_bits_is_known_below_2_to_the_53(dtype: str, value: float | None, is_exact: bool) -> None:
    dataset: Any = SimpleNamespace(dtypes=[dtype], nodatavals=[value])
    if is_exact:
        declared._check_exact(dataset, "a.tif")
    else:
        with pytest.raises(InputError, match="beyond 2⁵³ it is not known exactly"):
            declared._check_exact(dataset, "a.tif")


@pytest.mark.parametrize(("highest", "first_nm"), [(100.0, 450.0), (101.0, None)])
def test_numbers_without_a_unit_are_micrometres_up_to_100(highest: float, first_nm: float | None) -> None:
    found = to_nm([0.45, highest])
    assert (None if found is None else found[0]) == first_nm
    assert to_nm([450.0, 1010.0]) == pytest.approx([450, 1010])


def test_units_of_a_crs_in_degrees_are_111_kilometres() -> None:
    assert stac_items._unit_m("EPSG:4326") == 111_320
    assert stac_items._unit_m("EPSG:32631") == 1
    assert stac_items._unit_m("EPSG:2263") == pytest.approx(0.3048006)
    assert stac_items._unit_m("nothing") is None


def test_hdf5_begins_at_once_or_after_the_512_bytes_of_matlab() -> None:
    assert is_hdf5(SIGNATURE + b"\0" * 600)
    assert is_hdf5(b"M" * 512 + SIGNATURE)
    assert not is_hdf5(b"M" * 511 + SIGNATURE + b"\0" * 600)


def test_numbers_of_protobuf_have_64_bits() -> None:
    assert varint(b"\xff" * 9 + b"\x01", 0) == (2**64 - 1, 10)
    with pytest.raises(ValueError, match="more than 64 bits"):
        varint(b"\xff" * 10 + b"\x01", 0)
    fields = [
        (number, bytes(value))
        for number, value in protobuf_fields(b"\x09" + b"a" * 8 + b"\x15" + b"b" * 4 + b"\x1a\x02cc")
    ]  # type: ignore[arg-type]
    assert fields == [(1, b"a" * 8), (2, b"b" * 4), (3, b"cc")]


def image_of(name: str, score: float = 0.5, **values: Any) -> PlannedImage:
    return PlannedImage(files=[f"{name}.tif"], name=name, time="2023-01-01T10:00Z", score=score, **values)


def candidate_of(name: str, role: str, score: float, **values: Any) -> Candidate:
    when = datetime(2023, 1, 1, tzinfo=UTC)
    return Candidate(image_of(name, score, **values), when, when, shapely.box(0, 0, 1, 1), "EPSG:4326", name, role)


@pytest.mark.parametrize(("rank", "chosen"), [(99, True), (100, False)])
def test_pairs_are_made_of_a_hundred_images_of_each_role(rank: int, chosen: bool) -> None:
    """Two images from straight above lie together; all others lean apart by 2 · tan 60°."""
    views = {"off_nadir_deg": 60.0, "azimuth_deg": 0.0}
    before = [candidate_of(str(number), "before", 1 - number / 1000, **views) for number in range(101)]
    before[rank] = candidate_of("like", "before", 1 - rank / 1000, off_nadir_deg=0.0)
    after = candidate_of("after", "after", 1.0, off_nadir_deg=0.0)
    found = best_pair([*before, after])[0]
    assert found is not None
    assert found.image.name == ("like" if chosen else "0")


@pytest.mark.parametrize(("width", "used", "refused"), [(0.049, 0, True), (0.051, 1, False)])
def test_an_image_covers_a_twentieth_of_the_box(width: float, used: int, refused: bool) -> None:
    when = datetime(2023, 3, 1, tzinfo=UTC)
    tile = Candidate(image_of("a"), when, when, shapely.box(0, 0, width, 1), "EPSG:4326", "a")
    arguments: Any = ([tile], shapely.box(0, 0, 1, 1), datetime(2023, 2, 1, tzinfo=UTC), FindOptions())
    if refused:
        with pytest.raises(InputError, match=r"it covers 4.9% of the box"):
            _join(*arguments, whole_day=False)
    else:
        assert len(_join(*arguments, whole_day=False).image.files) == used


@pytest.mark.parametrize(("adds", "used"), [(0.0009, 1), (0.0011, 2)])
def test_a_further_tile_adds_a_thousandth_of_the_box(adds: float, used: int) -> None:
    when = datetime(2023, 3, 1, tzinfo=UTC)
    shapes = shapely.box(0, 0, 0.5, 1), shapely.box(0.4, 0, 0.5 + adds, 1)
    tiles = [
        Candidate(image_of(name), when, when, shape, "EPSG:4326", "a") for name, shape in zip("ab", shapes, strict=True)
    ]
    joined = _join(tiles, shapely.box(0, 0, 1, 1), datetime(2023, 2, 1, tzinfo=UTC), FindOptions(), whole_day=False)
    assert len(joined.image.files) == used


@pytest.mark.parametrize(("covered", "codes"), [(98.9, ["after_covers_a_part"]), (99.0, [])])
def test_an_image_that_covers_less_than_99_percent_of_the_box_is_named(covered: float, codes: list[str]) -> None:
    plan = Plan(box=[0, 0, 1, 1], date="2023-02-01", after=image_of("a", covered=covered))
    assert [finding.code for finding in plan.findings()] == codes


@pytest.mark.parametrize(("angle", "named"), [(19.9, False), (20.0, True)])
def test_facades_that_views_from_20_degrees_hide_are_named(angle: float, named: bool) -> None:
    plan = Plan(box=[0, 0, 1, 1], date="2023-02-01", after=image_of("a", off_nadir_deg=angle))
    found = plan.findings()
    assert [finding.code for finding in found] == ["after_off_nadir"] * named
    if found:
        assert found[0].values["hidden_m"] == pytest.approx(3 * np.tan(np.radians(20)))


@pytest.mark.parametrize(("apart_px", "severity"), [(0.99, None), (1.01, "note"), (4.99, "note"), (5.01, "caution")])
def test_roofs_of_a_storey_that_are_a_pixel_apart_are_named(apart_px: float, severity: str | None) -> None:
    angle = float(np.degrees(np.arctan(apart_px * 0.5 / 3)))
    before = image_of("b", off_nadir_deg=angle, azimuth_deg=0.0)
    plan = Plan(box=[0, 0, 1, 1], date="2023-02-01", before=before, after=image_of("a", off_nadir_deg=0.0))
    found = [finding.severity for finding in plan.findings() if finding.code == "views_differ"]
    assert found == [severity] * (severity is not None), "pixels of half a metre where none is stated"


def test_a_plan_lists_a_hundred_images_that_were_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [candidate_of(str(number), "after", 1 - number / 1000) for number in range(102)]
    monkeypatch.setattr(plans, "answers_of", lambda *_: ({}, {}))
    monkeypatch.setattr(plans, "candidates_of", lambda *_, **__: (images, [], plans.Counter()))
    plan, shapes = plans.make_plan([], [0, 0, 1, 1], "2022-12-01", {}, FindOptions())
    assert len(plan.rejected) == 100
    assert len(shapes) == 101


@pytest.mark.parametrize(
    ("longitude", "latitude", "radius_m", "on_earth"),
    [(180, 90, 20_004_000, True), (180.1, 0, 1, False), (0, -90.1, 1, False), (0, 0, 20_004_001, False), (0, 0, 0, False)],
)  # fmt: skip
def test_no_circle_is_larger_than_half_a_meridian(
    longitude: float, latitude: float, radius_m: float, on_earth: bool
) -> None:
    class FoundError(Exception):
        pass

    def to_read(_: str) -> Path:
        raise FoundError

    tools = Tools(SimpleNamespace(to_read=to_read))  # type: ignore[arg-type]
    with pytest.raises(FoundError if on_earth else InputError, match=None if on_earth else "no circle on the Earth"):
        tools.buildings_near("map", longitude, latitude, radius_m)


def test_names_are_hinted_by_their_first_three_letters_if_they_are_eight_at_most() -> None:
    names = [f"unet-{number}" for number in range(9)]
    assert names_with_word("un", names) == []
    assert names_with_word("une", names) == names
    assert name_hint("une", names[:8]) == f"Did you mean one of {', '.join(names[:8])}?"
    assert not name_hint("une", names).startswith("Did you mean one of")


def test_reasons_of_libraries_are_cut_after_three_hundred_characters() -> None:
    assert _message(ValueError("a" * 301)) == "a" * 300


def test_areas_of_a_window_are_interpolated_between_33_lines() -> None:
    """In the middle between two lines a straight line is off by an eighth of the bend times the squared distance."""
    grid = GeoBox((3200, 10), Affine(0.01, 0, 10, 0, -0.01, 32), "EPSG:4326")
    areas = GroundArea(grid).pixels(Window(0, 0, 3200, 10))[:, 0]
    lines = np.linspace(0, 3200, 33)
    assert np.diff(lines).tolist() == [100] * 32
    inside = areas[1601:1699]
    np.testing.assert_allclose(np.diff(inside, 2), 0, atol=1e-12 * inside.max()), "straight between two lines"
    assert abs(np.diff(areas, 2)[1598:1601]).max() > 1e-9 * inside.max(), "bent at a line"


def test_a_fact_is_shown_up_to_two_hundred_letters_and_a_longer_one_by_both_ends() -> None:
    assert f"  fits: {'b' * 200}" in Summary("a", facts={"fits": "b" * 200}).text()
    assert f"  long: {'b' * 100} … {'c' * 100}" in Summary("a", facts={"long": "b" * 150 + "c" * 150}).text()


@pytest.mark.parametrize(("gpu_bytes", "tiles"), [(3, 1), (8, 2), (124, 16), (128, 32), (1000, 32)])
def test_a_batch_has_up_to_32_tiles_in_a_quarter_of_the_memory(gpu_bytes: int, tiles: int) -> None:
    assert tiles_that_fit(gpu_bytes, 1) == tiles


@pytest.mark.parametrize(
    ("word", "table", "colour"),
    [
        ("red", None, "red"), ("undefined", None, "undefined"), ("palette", {0: (0, 0, 0, 255), 7: (7, 7, 7, 0)}, "gray"),
        ("palette", {0: (0, 0, 0, 255), 7: (7, 7, 8, 255)}, "palette"), ("palette", None, "palette"),
    ],
)  # fmt: skip
def test_a_table_of_colours_that_repeats_the_numbers_is_grey(
    word: str, table: dict[int, tuple[int, ...]] | None, colour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declared, "colour_table", lambda *_: table)
    dataset: Any = SimpleNamespace(colorinterp=[None, SimpleNamespace(name=word)])
    assert declared._colour(dataset, 2) == colour
