"""Every format that `--also` writes is read back: by `compare` with the same grades, by `--areas` and `check`, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_up_map import make_grid, make_map

from deepnets4eo.damage.areas import read_areas
from deepnets4eo.damage.comparison import compare_maps, read_damage_map
from deepnets4eo.damage.products import FURTHER
from deepnets4eo.damage.products.profiles import write_cems, write_xbd
from deepnets4eo.damage.products.write import WRITERS, write_gpkg
from deepnets4eo.errors import InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.outputs import EventInfo

ROWS, GRADED = 40, 33
NOT_READ = ("pdf", "png", "stac")
POINTS = ("csv", "unosat")
AREAS = {"cems": "#areaOfInterestA_v1"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """Our map as a GeoPackage and in every format of vectors."""
    folder = tmp_path_factory.mktemp("also")
    made = make_map(ROWS)
    made.event = EventInfo("Flood 2026: Derna", "Derna", "2026-01-05", "2026-02-03T10:20Z", "", "GeoEye-1")
    grid = make_grid()
    writers = WRITERS | {
        "xbd": lambda content, path: write_xbd(content, path, grid),
        "cems": lambda content, path: write_cems(content, path, {"pre": grid, "post": grid}),
        "ours": write_gpkg,
    }
    names = {**FURTHER, "ours": "damage.gpkg"}
    return {name: writers[name](made, folder / names[name]) or folder / names[name] for name in writers}


def test_every_format_is_tried_here(files) -> None:
    assert {*FURTHER} == {*files, *NOT_READ} - {"ours"}


@pytest.mark.parametrize("name", sorted({*FURTHER, "ours"} - {*NOT_READ}))
def test_compare_reads_the_same_grades(name: str, files) -> None:
    comparison = compare_maps(read_damage_map(files["ours"]), read_damage_map(files[name]))
    assert (comparison.matrix.total, comparison.matrix.overall_accuracy) == (GRADED, 1.0)
    assert comparison.matrix.matrix.shape == (4, 4)


@pytest.mark.parametrize("name", sorted({*FURTHER} - {*NOT_READ}))
def test_check_and_areas_read_it_or_name_the_reason(name: str, files) -> None:
    assert inspect(str(files[name])).kind in ("vector", "xBD labels")
    if name in POINTS:
        with pytest.raises(InputError, match=r"[pP]oint"):
            read_areas(files[name])
        return
    areas = read_areas(f"{files[name]}{AREAS.get(name, '')}")
    assert len(areas) == {"cems": 1, "osm": GRADED}.get(name, ROWS)


def test_layers_are_named_after_the_file_in_every_reader(files) -> None:
    for read in (read_areas, lambda source: inspect(source).problems[0]):
        try:
            advice = read(str(files["cems"]))
        except InputError as error:
            advice = str(error)
        assert f"{files['cems']}#builtUpA_v1" in advice
    assert len(read_areas(f"{files['cems']}#builtUpA_v1")) == ROWS
    assert len(read_damage_map(f"{files['cems']}#builtUpA_v1").table) == ROWS
    assert inspect(f"{files['cems']}#imageFootprintA_v1").facts["features"].startswith("2")
    with pytest.raises(InputError, match="no layer 'builtUp'"):
        read_areas(f"{files['cems']}#builtUp")


def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "item.json").write_text(json.dumps({"type": "Feature", "geometry": None, "properties": {"title": "x"}}))
    (tmp_path / "sheet.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("item.json", "sheet.png"):
        with pytest.raises(InputError, match=name):
            read_damage_map(tmp_path / name)
