"""Products of a map that is there are made anew: the same map, more formats, another language; samples of it stay valid."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from geotiff import write_geotiff
from made_up_map import make_grid, make_images, make_map, make_map_of_files
from refusals import raises_naming

from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageMap
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, grid = tmp_path_factory.mktemp("again"), make_grid(96)
    damage_map = make_map(12, grid=grid)
    damage_map.event = EventInfo("Flood", "درنة", "2026-01-05", from_files={"date_pre": "tag"})
    damage_map.findings = (Finding("x", "caution", {"message": "Pixels are large."}),)
    damage_map.estimates = {"buildings": {"damaged": {"expected": 5.0, "interval_95": [2.0, 8.0]}}}
    damage_map.add_areas("grid:20")
    images = {}
    for role, image in zip(("pre", "post"), make_images(grid, damage_map), strict=True):
        path = write_geotiff(folder / f"{role}.tif", image.read()[0], crs=grid.crs, transform=grid.affine)
        damage_map.inputs[role], images[role] = str(path), Layer.open(path)
    damage_map.save(folder / "map", **images, also=["csv"])
    return folder


def words_of(folder: Path) -> list[str]:
    """The command that writes products of the map in `folder` again."""
    images = [str(folder / "pre.tif"), str(folder / "post.tif")]
    return ["damage", *images, "-", "--out", str(folder / "map"), "--set", "products_only=yes"]


def test_a_map_is_written_anew_in_another_language_with_further_formats(folder: Path) -> None:
    out = folder / "map"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    words = words_of(folder)
    assert main([*words, "--also", "osm", "--set", "language=pt"]) == 0
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after.keys() - before.keys() == {"damage_osm.geojson"}
    same = {name for name in before if after[name] == before[name]}
    assert before.keys() - same == {"report.html", "manifest.json"}, "samples know the table by its hash"
    assert '<html lang="pt"' in after["report.html"].decode()
    first, second = (json.loads(each["manifest.json"]) for each in (before, after))
    assert second["outputs"].keys() - first["outputs"].keys() == {"damage_osm.geojson"}
    assert (second["inputs"], second["event"], second["findings"]) == (
        first["inputs"],
        first["event"],
        first["findings"],
    )


def test_images_of_another_map_and_folders_without_one_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["damage", "-", str(folder / "pre.tif"), "-", "--out", str(folder / "map"), "--set", "products_only=yes"]
    assert main(words) == 2
    assert "the pre image is none, but the map in" in capsys.readouterr().err
    assert main([*words, "--event", "name=Flood"]) == 2
    assert "which would make another map" in capsys.readouterr().err
    with pytest.raises(InputError, match="holds no whole damage map"):
        DamageMap.load(folder)


def test_only_what_is_asked_for_is_written_again(folder: Path) -> None:
    out = folder / "map"
    words = words_of(folder)
    assert main([*words, "--also", "cems=EMSR884_AOI06", "--set", "language=ar"]) == 0
    named = out / "EMSR884_AOI06_GRA_PRODUCT_v1.gpkg"
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert named.name in before
    assert main([*words, "--also", "geojson"]) == 0
    after = {path.name: path.read_bytes() for path in out.iterdir()}
    assert after.keys() - before.keys() == {"damage.geojson"}
    assert {name for name in before if after.get(name) != before[name]} == {"manifest.json"}
    assert '<html lang="ar"' in after["report.html"].decode()


def test_a_map_without_estimates_is_counted_in_areas_as_before_it_was_saved(tmp_path: Path) -> None:
    made, images = make_map_of_files(tmp_path, 0.9)
    made.save(tmp_path / "map", **images, also=[])
    loaded = DamageMap.load(tmp_path / "map")
    for damage_map in (made, loaded):
        damage_map.add_areas("grid:20")
    assert loaded.areas is not None
    assert made.areas is not None
    assert loaded.areas["damaged"].tolist() == made.areas["damaged"].tolist()
    assert loaded.areas["damaged"].sum() > 0


@pytest.mark.parametrize("name", ["evidence", "estimates", "registration"])
def test_a_summary_whose_entries_are_no_mappings_is_refused(name: str, tmp_path: Path) -> None:
    made, images = make_map_of_files(tmp_path, 0.9)
    made.save(tmp_path / "map", **images, also=[])
    path = tmp_path / "map" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: "text"}))
    with raises_naming(InputError, str(tmp_path / "map"), f"{name} is no mapping"):
        DamageMap.load(tmp_path / "map")
    made.save(tmp_path / "map", **images, also=[], overwrite=True)
    path = tmp_path / "map" / "manifest.json"
    stated = json.loads(path.read_text())
    path.write_text(json.dumps(stated | {"event": stated["event"] | {"from_files": 0.5}}))
    with raises_naming(InputError, "from_files is no mapping"):
        DamageMap.load(tmp_path / "map")


def test_damaged_outlines_and_crs_of_a_map_are_refused(tmp_path: Path) -> None:
    made, images = make_map_of_files(tmp_path, 0.9)
    made.save(tmp_path / "map", **images, also=[])
    path = tmp_path / "map" / "damage.parquet"
    table = pyarrow.parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"]["base_crs"] = 3
    unknown = table.replace_schema_metadata({**table.schema.metadata, b"geo": json.dumps(geo).encode()})
    cells = pyarrow.array([cell[:-3] for cell in table["geometry"].to_pylist()], pyarrow.binary())
    cut = table.set_column(table.column_names.index("geometry"), table.schema.field("geometry"), cells)
    for damaged in (unknown, cut):
        pyarrow.parquet.write_table(damaged, path)
        with raises_naming(InputError, "damage.parquet"):
            DamageMap.load(tmp_path / "map")
