"""Faults of large jobs: damaged tiles, footprints twice or of no width, mixed CRSs, full disks, clocks that go back. Nothing is lost."""

import itertools
import os
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from rasterio.warp import Resampling, calculate_default_transform, reproject

from deepnets4eo.cli.main import main
from deepnets4eo.damage.products import write
from deepnets4eo.damage.structure import block
from deepnets4eo.synthetic import City, Event

PRODUCTS_OF = {
    "damage.gpkg": "write_gpkg",
    "damage.parquet": "write_parquet",
    "report.html": "write_report",
    "manifest.json": "write_manifest",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    City(11, 256, 0.5, event=Event(shift_px=(2.0, -3.0), damage_shares=(0.4, 0.1, 0.1, 0.4))).write(folder)
    assert assess(folder, folder / "whole") == 0
    return folder


def assess(place: Path, out: Path, *more: str, **files: Path) -> int:
    """The exit status of a job without weights; files : in place of those of the city."""
    names = {"pre": "pre.tif", "post": "post.tif", "footprints": "footprints.gpkg"}
    paths = [str(files.get(role, place / name)) for role, name in names.items()]
    return main(["damage", *paths, "--out", str(out), "--set", "network=no", "--also", "none", *more])


def table(out: Path) -> gpd.GeoDataFrame:
    return gpd.read_parquet(out / "damage.parquet")


def with_damaged_tile(source: Path, path: Path, bands: int = 4) -> Path:
    """A copy of the first bands in packed tiles, of which one in the middle holds other bytes."""
    with rasterio.open(source) as file:
        data, profile = file.read(range(1, bands + 1)), file.profile | {"count": bands}
    profile |= {"driver": "GTiff", "tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
    profile |= {"interleave": "pixel"}
    with rasterio.open(path, "w", **profile) as file:
        file.write(data)
    with rasterio.open(path) as file:
        start, size = (int(file.get_tag_item(f"BLOCK_{what}_1_1", "TIFF", bidx=1)) for what in ("OFFSET", "SIZE"))
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * size)
    return path


@pytest.mark.parametrize("role", ["pre", "post"])
def test_a_damaged_tile_of_an_image_is_refused_with_the_file_and_its_place(
    role: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_damaged_tile(place / f"{role}.tif", tmp_path / "damaged.tif")
    assert assess(place, tmp_path / "out", **{role: path}) == 2
    error = capsys.readouterr().err
    assert f"Error: {path} " in error
    assert "IReadBlock failed at X offset 1, Y offset 1" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "bands"),
    [("change {pre} {damaged} --out {out} --assume-registered", 3), ("polygons {damaged} --out {out}.gpkg", 1)],
)
def test_a_damaged_tile_ends_tiled_work_with_its_rows_and_leaves_no_output(
    words: str, bands: int, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = with_damaged_tile(place / "post.tif", tmp_path / "damaged.tif", bands)
    with (
        rasterio.open(place / "pre.tif") as file,
        rasterio.open(tmp_path / "pre.tif", "w", **file.profile | {"count": 3}) as pre,
    ):
        pre.write(file.read((1, 2, 3)))
    named = {"pre": tmp_path / "pre.tif", "damaged": damaged, "out": tmp_path / "out"}
    assert main(words.format(**named).split()) == 2
    assert f"Error: {damaged} cannot be read" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} <= {"damaged.tif", "pre.tif"}


def test_twins_overlaps_and_slivers_each_have_their_row_and_twins_the_same_result(place: Path, tmp_path: Path) -> None:
    houses = gpd.read_file(place / "footprints.gpkg")
    twins, shifted = houses.copy(), houses.iloc[:5].translate(3, 0)
    left, bottom = houses.geometry.iloc[0].centroid.coords[0]
    lines = [shapely.box(left, bottom + 0.01 * row, left + 40, bottom + 0.01 * row + 1e-7) for row in range(500)]
    more = gpd.GeoDataFrame(geometry=[*twins.geometry, *shifted, *lines], crs=houses.crs)
    path = tmp_path / "more.gpkg"
    pd.concat([houses[["geometry"]], more]).to_file(path)
    assert assess(place, tmp_path / "out", footprints=path) == 0
    rows, count = table(tmp_path / "out"), len(houses)
    assert len(rows) == 2 * count + 505
    assert rows["id"].is_unique
    assert set(rows["reason"][-500:]) == {"footprint too small for the image resolution"}
    numbers = ["damage_prob", "dx_px", "dy_px"]
    pd.testing.assert_frame_equal(
        rows[numbers][:count].reset_index(drop=True), rows[numbers][count : 2 * count].reset_index(drop=True)
    )


def test_three_crss_give_the_map_of_one(place: Path, tmp_path: Path) -> None:
    with rasterio.open(place / "pre.tif") as file:
        zone = int(file.crs.to_epsg())
        other = f"EPSG:{zone + 1}"
        affine, width, height = calculate_default_transform(file.crs, other, file.width, file.height, *file.bounds)
        moved = np.zeros((file.count, height, width), file.dtypes[0])
        profile = file.profile | {"crs": other, "transform": affine, "width": width, "height": height, "nodata": 0}
        reproject(file.read(), moved, src_transform=file.transform, src_crs=file.crs, dst_transform=affine, dst_crs=other,
                  resampling=Resampling.cubic, src_nodata=None, dst_nodata=0)  # fmt: skip
    with rasterio.open(tmp_path / "pre.tif", "w", **profile) as file:
        file.write(moved)
    gpd.read_file(place / "footprints.gpkg").to_crs(4326).to_file(tmp_path / "houses.geojson")
    assert assess(place, tmp_path / "out", pre=tmp_path / "pre.tif", footprints=tmp_path / "houses.geojson") == 0
    rows, whole = table(tmp_path / "out"), table(place / "whole")
    assert len(rows) == len(whole)
    assert (rows["status"] == whole["status"]).mean() > 0.9
    assert (rows["damage"].fillna("") == whole["damage"].fillna("")).mean() > 0.75
    assert rows.to_crs(whole.crs).distance(whole, align=False).max() < 1


def test_a_disk_that_is_full_at_any_product_leaves_the_map_before_and_the_job_goes_on(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert assess(place, out) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(*_positional: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    for function in ["savez", *PRODUCTS_OF.values()]:
        with monkeypatch.context() as patch:
            patch.setattr(np if function == "savez" else write, function, full)
            assert assess(place, out, "--overwrite") == 1  # anew: what was written beside the failing one would be kept
        assert "No space left on device" in capsys.readouterr().err
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert assess(place, out, "--overwrite", "--resume") == 0
    assert (out / "damage.parquet").read_bytes() == before["damage.parquet"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("start_s", [1.6e9, 1e8], ids=["2020", "1973, before zip files"])
def test_a_clock_that_goes_back_changes_no_table_and_resuming_does_nothing_twice(
    start_s: float, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: start_s - 3600.0 * next(hours))
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(write, "write_gpkg", interrupted)
        assert assess(place, out) == 130
    for path in tmp_path.rglob("*.npz"):
        os.utime(path, (2.2e9, 2.2e9))  # 2039: from before the clock was set
    with monkeypatch.context() as patch:
        patch.setattr(block, "measure_block", lambda *_: pytest.fail("measured again"))
        assert assess(place, out, "--resume") == 0
    assert (out / "damage.parquet").read_bytes() == (place / "whole" / "damage.parquet").read_bytes()


def interrupted(*_positional: object, **_named: object) -> None:
    raise KeyboardInterrupt
