"""Sound maps as seeds: samples of reviews, finished maps, plans with their images, JPEG 2000, vector tiles, PCD, Zarr 3, integers of runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyproj
import rasterio
from formats.test_zarr import write_store
from made_up_files import fill
from made_up_map import make_map_of_files
from points.test_pcd import _points, _write
from safetensors.torch import save_file
from segmenters.test_encoder_files import FILES

from deepnets4eo.cards import ShippedModel
from deepnets4eo.damage.review import write_sample
from deepnets4eo.evaluation import MapReview
from fuzzing.seed import CRS, SIDE_PX, TRANSFORM, Seed, buildings, image_array, label_array, make_folder, write_raster
from fuzzing.seed_runs import reseal


def make_maps(root: Path) -> dict[str, list[Seed]]:
    """kind → seeds; must follow the kinds whose files it copies."""
    return {
        "raster": _jpeg_2000(root), "vector": _vector_tiles(root), "points": _pcd(root), "zarr": _zarr_3(root), "drawn": _drawn(root),
        "map": _map(root), "planned": _planned(root), "integers": _integers(root), "encoder": _encoders(root),
    } | _masks(root)  # fmt: skip


def _jpeg_2000(root: Path) -> list[Seed]:
    """With the CRS in its box, reversible and not, in tiles."""
    seeds = []
    for name, options in (("jp2", {"REVERSIBLE": "YES"}), ("jp2-tiles", {"QUALITY": "20", "BLOCKXSIZE": "32", "BLOCKYSIZE": "32"})):  # fmt: skip
        path = make_folder(root / "raster" / name) / "a.jp2"
        values = image_array()
        with rasterio.open(path, "w", driver="JP2OpenJPEG", count=3, height=SIDE_PX, width=SIDE_PX, dtype="uint8", crs=CRS,
                           transform=TRANSFORM, **options) as file:  # fmt: skip
            file.write(values)
        seeds.append(Seed(path.parent, path.name))
    return seeds


def _vector_tiles(root: Path) -> list[Seed]:
    seeds = []
    for suffix, driver in (("pmtiles", "PMTiles"), ("mbtiles", "MBTiles")):
        path = make_folder(root / "vector" / suffix) / f"a.{suffix}"
        buildings().to_crs(3857).to_file(path, driver=driver, layer="buildings", MINZOOM=14, MAXZOOM=15)
        seeds.append(Seed(path.parent, path.name))
    return seeds


def _pcd(root: Path) -> list[Seed]:
    seeds = []
    for data in ("ascii", "binary", "binary_compressed"):
        path = make_folder(root / "points" / f"pcd-{data}") / "a.pcd"
        _write(path, _points(), data)
        seeds.append(Seed(path.parent, path.name))
    return seeds


def _zarr_3(root: Path) -> list[Seed]:
    folder = make_folder(root / "zarr")
    for version in (2, 3):
        values = image_array().astype(np.uint16)
        write_store(folder / str(version) / "a.zarr", version, {"image": np.pad(values, ((0, 0), (0, 2), (0, 12)))})
    return [Seed(folder / str(version), "a.zarr") for version in (2, 3)]


def _drawn(root: Path) -> list[Seed]:
    """Samples of a label raster: as it was drawn, and answered."""
    seeds = []
    for name in ("empty", "answered"):
        folder = make_folder(root / "drawn" / name)
        write_raster(folder / "map.tif", label_array()[None] % 3)
        image = write_raster(folder / "image.tif", image_array())
        MapReview.draw(folder / "map.tif", folder / "sample.gpkg", looks=12, images=[image])
        if name == "answered":
            fill(folder / "sample.gpkg")
        seeds.append(Seed(folder, "sample.gpkg"))
    return seeds


def _map(root: Path) -> list[Seed]:
    """A finished damage map with an answered sample in it."""
    folder = make_folder(root / "map" / "damage")
    made, images = make_map_of_files(folder, 0.9)
    made.save(folder / "map", **images)
    write_sample(folder / "map" / "review.gpkg", folder / "map" / "damage.parquet", 8)
    fill(folder / "map" / "review.gpkg")
    return [Seed(folder, "map")]


def _masks(root: Path) -> dict[str, list[Seed]]:
    """Rasters of one band: a mask, and scores."""
    mask = label_array()[None] == 2
    write_raster(root / "mask" / "a" / "a.tif", mask.astype(np.uint8))
    write_raster(root / "scored" / "a" / "a.tif", (0.8 * mask).astype(np.float32))
    return {name: [Seed(root / name / "a", "a.tif")] for name in ("mask", "scored")}


def _planned(root: Path) -> list[Seed]:
    """A plan whose images lie beside it."""
    folder = make_folder(root / "planned" / "plan")
    for seed, name in enumerate(("pre", "post")):
        write_raster(folder / f"{name}.tif", image_array(seed))
    corners = [(TRANSFORM * place) for place in ((6, 42), (42, 6))]
    to_degrees = pyproj.Transformer.from_crs(CRS, 4326, always_xy=True).transform
    box = [value for x, y in corners for value in to_degrees(x, y)]
    buildings().to_file(folder / "houses.geojson")
    image = "{{files: [{name}.tif], time: {day}T10:00Z, gsd_m: 0.5, off_nadir_deg: 20, azimuth_deg: 90, credit: P}}"
    before, after = image.format(name="pre", day="2011-05-20"), image.format(name="post", day="2011-05-24")
    (folder / "plan.yaml").write_text(
        f"box: {json.dumps(box)}\ndate: '2011-05-22'\nevent: {{name: Q}}\nbefore: {before}\nafter: {after}\noutlines: houses.geojson\n"
    )
    return [Seed(folder, "plan.yaml")]


def _integers(root: Path) -> list[Seed]:
    """The shipped run of water, with its weights of 8-bit integers."""
    folder = make_folder(root / "integers" / "water")
    shutil.copytree(ShippedModel("floods/water").folder, folder / "run")
    return [Seed(folder, "run", reseal)]


def _encoders(root: Path) -> list[Seed]:
    """Transformers of others, as files of weights."""
    seeds = []
    for name in ("dinov3", "copernicus"):
        path = make_folder(root / "encoder" / name) / "a.safetensors"
        save_file(FILES[name](), path)
        seeds.append(Seed(path.parent, path.name))
    return seeds
