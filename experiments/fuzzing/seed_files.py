"""Sound files of every kind that the package reads, small and made up, for the mutators to damage.

Takes a folder; returns seeds by kind. A seed is a folder of files that belong together, with the one that users name.
"""

from __future__ import annotations

import bz2
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from PIL import Image

from deepnets4eo.cards.catalog import dataset_path, legend_path, model_path, recipe_path
from deepnets4eo.cards.legend import Legend
from deepnets4eo.files import write_json, write_yaml
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.mosaic import mosaic_vrt
from fuzzing.openstreetmap import small_pbf

SIDE_PX = 48
CRS = "EPSG:32615"
TRANSFORM = Affine(0.5, 0, 360_000, 0, -0.5, 4_100_000)
UTM_WKT = rasterio.crs.CRS.from_epsg(32615).to_wkt(version="WKT1_ESRI")


@dataclass(frozen=True)
class Seed:
    """Sound files: their folder, the path within it that users name, and what makes damaged ones consistent again."""

    folder: Path
    main: str
    finish: Callable[[Path], None] | None = None

    @property
    def path(self) -> Path:
        """What users name."""
        return self.folder / self.main

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files."""
        return _files_of(self.folder)


@cache
def _files_of(folder: Path) -> tuple[Path, ...]:
    """Looked up once: seeds do not change, and every case asks for all."""
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file()))


def make_seeds(root: Path) -> dict[str, list[Seed]]:
    """Every kind of file, written below `root`: kind → seeds."""
    from fuzzing.seed_runs import make_runs

    seeds: dict[str, list[Seed]] = {}
    for make in (_rasters, _labels, _heights, _vectors, _osm, _cards, _datasets, _scores, make_runs):
        for kind, found in make(root).items():
            seeds.setdefault(kind, []).extend(found)
    return seeds


def image_array(seed: int = 0, bands: int = 3) -> NDArray[np.uint8]:
    """(bands, 48, 48) uint8: blocks of four classes under noise."""
    noise = np.random.default_rng(seed).integers(0, 40, (bands, SIDE_PX, SIDE_PX))
    return (noise + 50 * label_array()[None]).clip(1, 255).astype(np.uint8)


def label_array() -> NDArray[np.uint8]:
    """(48, 48) uint8: squares of the classes 0 to 5."""
    cells = np.random.default_rng(1).permutation(np.arange(36) % 6).reshape(6, 6)
    return np.kron(cells, np.ones((8, 8), int)).astype(np.uint8)


def write_raster(path: Path, array: NDArray[Any], *, tags: dict[str, str] | None = None, **profile: Any) -> Path:
    """A raster (C, H, W) by its suffix's driver; a GeoTIFF lies at the place that all seeds show."""
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".png": "PNG", ".jpg": "JPEG"}.get(path.suffix, "GTiff")
    located = {"crs": CRS, "transform": TRANSFORM} if driver == "GTiff" else {}
    count, height, width = array.shape
    size = {"count": count, "height": height, "width": width, "dtype": array.dtype.name}
    with rasterio.open(path, "w", driver=driver, **{**located, **size, **profile}) as file:
        file.write(array)
        if tags:
            file.update_tags(**tags)
    return path


def buildings() -> gpd.GeoDataFrame:
    """Nine houses on the image, with ids, grades and tags."""
    boxes = [shapely.box(x, y, x + 5, y + 4) for x in (1, 9, 17) for y in (1, 9, 17)]
    houses = [shapely.transform(box, lambda xy: xy + [360_000, 4_099_976]) for box in boxes]
    columns = {"id": [f"w{k}" for k in range(9)], "damage": ["no-damage", "destroyed", "major-damage"] * 3,
               "building": "yes", "name": "Café"}  # fmt: skip
    return gpd.GeoDataFrame(columns, geometry=houses, crs=CRS)


def _rasters(root: Path) -> dict[str, list[Seed]]:
    image, place = image_array(), root / "raster"
    float_image = (image / 255).astype(np.float32)
    float_image[0, :3, :3] = np.nan
    write_raster(place / "deflate" / "a.tif", image, compress="deflate", predictor=2, tags={"SYNTHETIC": "yes"})
    write_raster(place / "plain" / "a.tif", image.astype(np.uint16) * 200, nodata=0)
    write_raster(place / "float" / "a.tif", float_image, compress="lzw", nodata=-9999.0)
    write_raster(place / "tiled" / "a.tif", image, tiled=True, blockxsize=16, blockysize=16, compress="zstd")
    write_raster(
        place / "alpha" / "a.tif", np.concatenate([image, np.full_like(image[:1], 255)]), photometric="RGB", alpha="YES"
    )
    write_raster(place / "jpeg" / "a.tif", np.kron(image, np.ones((1, 2, 2), np.uint8)), compress="jpeg", photometric="YCBCR",
                 transform=TRANSFORM * Affine.scale(0.5))  # fmt: skip
    points = [
        rasterio.control.GroundControlPoint(r, c, 360_000 + c / 2, 4_100_000 - r / 2) for r in (0, 48) for c in (0, 48)
    ]
    write_raster(place / "gcps" / "a.tif", image, transform=Affine.identity(), gcps=points)
    write_raster(place / "png" / "a.png", image)
    (place / "png" / "a.pgw").write_text("0.5\n0\n0\n-0.5\n360000.25\n4099999.75\n")
    (place / "png" / "a.prj").write_text(UTM_WKT)
    (place / "png" / "a.png.aux.xml").write_text(f"<PAMDataset><SRS>{UTM_WKT.replace('<', '')}</SRS></PAMDataset>")
    Image.fromarray(image.transpose(1, 2, 0)).save(_folder(place / "jpg") / "a.jpg")
    for number, east in enumerate((0, 24)):
        moved = TRANSFORM * Affine.translation(2 * east, 0)
        write_raster(place / "mosaic" / "tiles" / f"t{number}.tif", image, transform=moved)
    part = write_raster(place / "vrt" / "part.tif", image)
    (place / "vrt" / "a.vrt").write_text(mosaic_vrt([str(part)]).replace(str(part.resolve()), "part.tif").replace(
        'relativeToVRT="0"', 'relativeToVRT="1"'))  # fmt: skip
    mains = {"mosaic": "tiles", "png": "a.png", "jpg": "a.jpg", "vrt": "a.vrt"}
    return {"raster": [Seed(one, mains.get(one.name, "a.tif")) for one in sorted(place.iterdir())]}


def _labels(root: Path) -> dict[str, list[Seed]]:
    legend, labels = Legend.load("isprs"), label_array()
    tags = {"LEGEND": json.dumps(legend.to_dict())}
    write_raster(root / "labels" / "values" / "a.tif", labels[None], tags=tags, compress="deflate", nodata=255)
    write_raster(root / "labels" / "colours" / "a.tif", legend.decode(labels), tags=tags)
    write_raster(root / "labels" / "png" / "a.png", labels[None])
    names = [root / "xview2" / role for role in ("prediction", "target")]
    for folder, role in zip(names, ("prediction", "target"), strict=True):
        for task in ("localization", "damage"):
            values = np.kron(label_array() % 5, np.ones((22, 22), np.uint8))[:1024, :1024]
            Image.fromarray(values if task == "damage" else (values > 0).astype(np.uint8)).save(
                _folder(folder) / f"test_{task}_00000_{role}.png"
            )
    mains = {"png": "a.png"}
    seeds = [Seed(one, mains.get(one.name, "a.tif")) for one in sorted((root / "labels").iterdir())]
    return {"labels": seeds, "xview2": [Seed(root / "xview2", ".")]}


def _heights(root: Path) -> dict[str, list[Seed]]:
    heights = (3.0 * label_array() + 100).astype(np.float32)
    write_raster(root / "heights" / "a" / "a.tif", heights[None], nodata=-9999.0, compress="deflate")
    return {"heights": [Seed(root / "heights" / "a", "a.tif")]}


def _vectors(root: Path) -> dict[str, list[Seed]]:
    place, frame = root / "vector", buildings()
    for suffix in ("gpkg", "fgb", "geojson", "kml", "gml"):
        shown = frame.to_crs(4326) if suffix in ("geojson", "kml") else frame
        shown.to_file(_folder(place / suffix) / f"a.{suffix}")
    frame.to_file(_folder(place / "shp") / "a.shp", encoding="UTF-8")
    frame.to_file(_folder(place / "shp-latin") / "a.shp", encoding="ISO-8859-1")
    (place / "shp-latin" / "a.cpg").write_text("UTF-8")
    frame.to_parquet(_folder(place / "parquet") / "a.parquet")
    _write_xbd(place / "xbd" / "a.json", frame)
    mains = {"shp-latin": "a.shp", "xbd": "a.json"}
    return {"vector": [Seed(one, mains.get(one.name, f"a.{one.name}")) for one in sorted(place.iterdir())]}


def _write_xbd(path: Path, frame: gpd.GeoDataFrame) -> None:
    """Label file as xBD: outlines in pixels and in degrees, with grades."""
    pixels = transform_shapes(~TRANSFORM, frame.geometry.to_numpy())
    rows = {}
    for name, shapes in (("lng_lat", frame.to_crs(4326).geometry), ("xy", pixels)):
        rows[name] = [
            {"wkt": shape.wkt, "properties": {"feature_type": "building", "uid": key, "subtype": grade}}
            for shape, key, grade in zip(shapes, frame["id"], frame["damage"], strict=True)
        ]
    write_json(
        path, {"features": rows, "metadata": {"gsd": 0.5, "width": SIDE_PX, "height": SIDE_PX, "disaster": "made-up"}}
    )


def _osm(root: Path) -> dict[str, list[Seed]]:
    corners = buildings().to_crs(4326).geometry
    west, south, east, north = corners.total_bounds
    bounds = f'<bounds minlat="{south - 0.01}" minlon="{west - 0.01}" maxlat="{north + 0.01}" maxlon="{east + 0.01}"/>'
    nodes, ways = [], []
    for number, outline in enumerate(corners, start=1):
        ids = [10 * number + k for k in range(4)]
        for key, (lon, lat) in zip(ids, outline.exterior.coords[:4], strict=True):
            nodes.append(f'<node id="{key}" version="1" lat="{lat:.7f}" lon="{lon:.7f}"/>')
        refs = "".join(f'<nd ref="{key}"/>' for key in [*ids, ids[0]])
        tag = (
            '<tag k="building" v="yes"/>'
            if number % 2
            else '<tag k="highway" v="residential"/><tag k="width" v="6.5"/>'
        )
        ways.append(f'<way id="{number}" version="1">{refs}{tag}</way>')
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<osm version="0.6">{bounds}{"".join(nodes)}{"".join(ways)}</osm>\n'
    (_folder(root / "osm" / "xml") / "a.osm").write_text(text)
    (_folder(root / "osm" / "bz2") / "a.osm.bz2").write_bytes(bz2.compress(text.encode()))
    (_folder(root / "osm" / "pbf") / "a.osm.pbf").write_bytes(small_pbf(corners))
    tagged = buildings().drop(columns=["id", "damage"])
    tagged.to_file(_folder(root / "osm" / "tags") / "a.gpkg")
    mains = {"xml": "a.osm", "bz2": "a.osm.bz2", "pbf": "a.osm.pbf", "tags": "a.gpkg"}
    return {"osm": [Seed(root / "osm" / name, main) for name, main in mains.items()]}


def _cards(root: Path) -> dict[str, list[Seed]]:
    """The package's own cards and recipes, one folder each."""
    from deepnets4eo import osm

    sources = {
        "legend": [legend_path("isprs"), legend_path("xbd")],
        "dataset-card": [dataset_path("isprs_vaihingen"), dataset_path("isprs_potsdam")],
        "recipe": [recipe_path("unet-resnet34"), recipe_path("damage-siamese")],
        "rules": [model_path("baselines/expert-rules") / "rules.yaml"],
        "osm-rules": [Path(str(osm.__file__)).with_name("osm_rules.yaml")],
        "damage-model": [model_path("damage-evidence") / "coefficients.yaml"],
    }
    seeds: dict[str, list[Seed]] = {}
    for kind, paths in sources.items():
        for number, path in enumerate(paths):
            folder = _folder(root / kind / str(number))
            (folder / path.name).write_bytes(path.read_bytes())
            seeds.setdefault(kind, []).append(Seed(folder, "." if kind == "damage-model" else path.name))
    return seeds


def _datasets(root: Path) -> dict[str, list[Seed]]:
    """A folder of tiles with the card that describes it; pairs of images with xBD labels."""
    legend, place = Legend.load("isprs"), root / "dataset"
    for number in range(2):
        write_raster(place / "image" / f"t{number}.tif", image_array(number))
        write_raster(place / "labels" / f"t{number}.tif", label_array()[None])
    card = {
        "name": "made_up", "title": "Made up", "source": "none", "licence": "none", "legend": legend.name,
        "bands": {"image": ["red", "green", "blue"], "labels": ["value"]},
        "layout": {"image": "image/{id}.tif", "labels": "labels/{id}.tif"},
        "splits": {"own": {"train": ["t0"], "test": ["t1"]}},
        "protocols": {"full": {"legend": legend.name, "split": "own"}},
        "checksums": {"image/t0.tif": "md5:0"},
    }  # fmt: skip
    write_yaml(place / "card.yaml", card)
    pairs = root / "pairs"
    for date in ("pre", "post"):
        write_raster(pairs / "images" / f"event_00000001_{date}_disaster.png", image_array(3))
        _write_xbd(pairs / "labels" / f"event_00000001_{date}_disaster.json", buildings())
    bright = root / "bright"
    for folder, name, array in (
        ("pre-event", "pre_disaster", image_array(3)),
        ("post-event", "post_disaster", image_array(4, 1)),
        ("target", "building_damage", (label_array() % 4)[None]),
    ):
        write_raster(bright / folder / f"event_00000001_{name}.tif", array)
    return {"dataset": [Seed(place, "card.yaml")], "pairs": [Seed(pairs, "."), Seed(bright, ".")]}


def _scores(root: Path) -> dict[str, list[Seed]]:
    """What an earlier evaluation wrote."""
    from deepnets4eo.evaluation import evaluate_pairs

    truth = root / "labels" / "values" / "a.tif"
    folder = _folder(root / "scores")
    write_json(folder / "a.json", evaluate_pairs([(truth, truth)], Legend.load("isprs")).to_dict())
    return {"scores": [Seed(folder, "a.json")]}


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path
