"""Sound files of every kind that the package reads, small and made up, as seeds."""

from __future__ import annotations

import bz2
import json
import zlib
from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
from affine import Affine
from PIL import Image

from deepnets4eo.cards import CardKind, Legend, model_path, recipe_path
from deepnets4eo.files import write_json, write_yaml
from deepnets4eo.grid import transform_shapes
from deepnets4eo.rasters.mosaic import mosaic_vrt
from fuzzing.openstreetmap import small_pbf
from fuzzing.seed import SIDE_PX, TRANSFORM, Seed, buildings, image_array, label_array, make_folder, write_raster

UTM_WKT = rasterio.crs.CRS.from_epsg(32615).to_wkt(version="WKT1_ESRI")


def _write_zarr(path: Path, image: np.ndarray) -> None:
    """A store of version 2 of one array."""
    metadata = {"zarr_format": 2, "shape": image.shape, "chunks": [1, 24, 24], "dtype": image.dtype.str, "compressor": {"id": "zlib", "level": 1},
                "fill_value": 0, "order": "C", "filters": None}  # fmt: skip
    array = make_folder(path / "image")
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (array / ".zarray").write_text(json.dumps(metadata))
    (array / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["band", "y", "x"]}')
    for band, row, col in np.ndindex(len(image), 2, 2):
        part = image[band, 24 * row : 24 * row + 24, 24 * col : 24 * col + 24]
        (array / f"{band}.{row}.{col}").write_bytes(zlib.compress(part.tobytes()))


def _rasters(root: Path) -> dict[str, list[Seed]]:
    image, folder = image_array(), root / "raster"
    float_image = (image / 255).astype(np.float32)
    float_image[0, :3, :3] = np.nan
    write_raster(folder / "deflate" / "a.tif", image, compress="deflate", predictor=2, tags={"SYNTHETIC": "yes"})
    write_raster(folder / "plain" / "a.tif", image.astype(np.uint16) * 200, nodata=0)
    write_raster(folder / "float" / "a.tif", float_image, compress="lzw", nodata=-9999.0)
    write_raster(folder / "tiled" / "a.tif", image, tiled=True, blockxsize=16, blockysize=16, compress="zstd")
    write_raster(
        folder / "alpha" / "a.tif",
        np.concatenate([image, np.full_like(image[:1], 255)]),
        photometric="RGB",
        alpha="YES",
    )
    write_raster(folder / "jpeg" / "a.tif", np.kron(image, np.ones((1, 2, 2), np.uint8)), compress="jpeg", photometric="YCBCR",
                 transform=TRANSFORM * Affine.scale(0.5))  # fmt: skip
    points = [
        rasterio.control.GroundControlPoint(r, c, 360_000 + c / 2, 4_100_000 - r / 2) for r in (0, 48) for c in (0, 48)
    ]
    write_raster(folder / "gcps" / "a.tif", image, transform=Affine.identity(), gcps=points)
    write_raster(folder / "png" / "a.png", image)
    (folder / "png" / "a.pgw").write_text("0.5\n0\n0\n-0.5\n360000.25\n4099999.75\n")
    (folder / "png" / "a.prj").write_text(UTM_WKT)
    (folder / "png" / "a.png.aux.xml").write_text(f"<PAMDataset><SRS>{UTM_WKT.replace('<', '')}</SRS></PAMDataset>")
    Image.fromarray(image.transpose(1, 2, 0)).save(make_folder(folder / "jpg") / "a.jpg")
    for number, east in enumerate((0, 24)):
        moved = TRANSFORM * Affine.translation(2 * east, 0)
        write_raster(folder / "mosaic" / "tiles" / f"t{number}.tif", image, transform=moved)
    single = write_raster(folder / "vrt" / "part.tif", image)
    (folder / "vrt" / "a.vrt").write_text(mosaic_vrt([str(single)])[0].replace(str(single.resolve()), "part.tif").replace(
        'relativeToVRT="0"', 'relativeToVRT="1"'))  # fmt: skip
    _write_zarr(folder / "zarr" / "a.zarr", image)
    mains = {"zarr": "a.zarr", "mosaic": "tiles", "png": "a.png", "jpg": "a.jpg", "vrt": "a.vrt"}
    return {"raster": [Seed(one, mains.get(one.name, "a.tif")) for one in sorted(folder.iterdir())]}


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
                make_folder(folder) / f"test_{task}_00000_{role}.png"
            )
    mains = {"png": "a.png"}
    seeds = [Seed(one, mains.get(one.name, "a.tif")) for one in sorted((root / "labels").iterdir())]
    return {"labels": seeds, "xview2": [Seed(root / "xview2", ".")]}


def _heights(root: Path) -> dict[str, list[Seed]]:
    heights = (3.0 * label_array() + 100).astype(np.float32)
    write_raster(root / "heights" / "a" / "a.tif", heights[None], nodata=-9999.0, compress="deflate")
    return {"heights": [Seed(root / "heights" / "a", "a.tif")]}


def _vectors(root: Path) -> dict[str, list[Seed]]:
    folder, frame = root / "vector", buildings()
    for suffix in ("gpkg", "fgb", "geojson", "kml", "gml"):
        in_crs = frame.to_crs(4326) if suffix in ("geojson", "kml") else frame
        in_crs.to_file(make_folder(folder / suffix) / f"a.{suffix}", **({"driver": "KML"} if suffix == "kml" else {}))
    frame.to_file(make_folder(folder / "shp") / "a.shp", encoding="UTF-8")
    frame.to_file(make_folder(folder / "shp-latin") / "a.shp", encoding="ISO-8859-1")
    (folder / "shp-latin" / "a.cpg").write_text("UTF-8")
    frame.to_parquet(make_folder(folder / "parquet") / "a.parquet")
    _write_xbd(folder / "xbd" / "a.json", frame)
    mains = {"shp-latin": "a.shp", "xbd": "a.json"}
    return {"vector": [Seed(one, mains.get(one.name, f"a.{one.name}")) for one in sorted(folder.iterdir())]}


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
    (make_folder(root / "osm" / "xml") / "a.osm").write_text(text)
    (make_folder(root / "osm" / "bz2") / "a.osm.bz2").write_bytes(bz2.compress(text.encode()))
    (make_folder(root / "osm" / "pbf") / "a.osm.pbf").write_bytes(small_pbf(corners))
    tagged = buildings().drop(columns=["id", "damage"])
    tagged.to_file(make_folder(root / "osm" / "tags") / "a.gpkg")
    mains = {"xml": "a.osm", "bz2": "a.osm.bz2", "pbf": "a.osm.pbf", "tags": "a.gpkg"}
    return {"osm": [Seed(root / "osm" / name, main) for name, main in mains.items()]}


def _cards(root: Path) -> dict[str, list[Seed]]:
    """The package's own cards and recipes, one folder each."""
    from deepnets4eo import osm

    sources = {
        "legend": [CardKind.LEGEND.path("isprs"), CardKind.LEGEND.path("xbd")],
        "dataset-card": [CardKind.DATASET.path("isprs_vaihingen"), CardKind.DATASET.path("isprs_potsdam")],
        "recipe": [recipe_path("unet-resnet34"), recipe_path("damage-pairs")],
        "rules": [model_path("baselines/expert-rules") / "rules.yaml"],
        "osm-rules": [Path(str(osm.__file__)).with_name("osm_rules.yaml")],
        "damage-model": [model_path("damage-evidence") / "coefficients.yaml"],
    }
    seeds: dict[str, list[Seed]] = {}
    for kind, paths in sources.items():
        for number, path in enumerate(paths):
            folder = make_folder(root / kind / str(number))
            (folder / path.name).write_bytes(path.read_bytes())
            seeds.setdefault(kind, []).append(Seed(folder, "." if kind == "damage-model" else path.name))
    return seeds


def _datasets(root: Path) -> dict[str, list[Seed]]:
    """A folder of tiles with the card that describes it; pairs of images with xBD labels."""
    legend, folder = Legend.load("isprs"), root / "dataset"
    for number in range(2):
        write_raster(folder / "image" / f"t{number}.tif", image_array(number))
        write_raster(folder / "labels" / f"t{number}.tif", label_array()[None])
    card = {
        "name": "made_up", "title": "Made up", "source": "none", "licence": "none", "legend": legend.name,
        "bands": {"image": ["red", "green", "blue"], "labels": ["value"]},
        "layout": {"image": "image/{id}.tif", "labels": "labels/{id}.tif"},
        "splits": {"own": {"train": ["t0"], "test": ["t1"]}},
        "protocols": {"full": {"legend": legend.name, "split": "own"}},
        "checksums": {"image/t0.tif": "md5:0"},
    }  # fmt: skip
    write_yaml(folder / "card.yaml", card)
    pairs = root / "pairs"
    for date in ("pre", "post"):
        write_raster(pairs / "images" / f"event_00000001_{date}_disaster.png", image_array(3))
        _write_xbd(pairs / "labels" / f"event_00000001_{date}_disaster.json", buildings())
    bright = root / "bright"
    for side, name, array in (
        ("pre-event", "pre_disaster", image_array(3)),
        ("post-event", "post_disaster", image_array(4, 1)),
        ("target", "building_damage", (label_array() % 4)[None]),
    ):
        for outlined in (bright, root / "outlined") if side != "target" else (bright,):
            write_raster(outlined / side / f"event_00000001_{name}.tif", array)
    rows = [{"category_id": 1 + number, "segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]} for number in range(3)]
    write_json(root / "outlined/target_instance_level/event_00000001_instance_damage.json", {"annotations": rows})
    seeds = [Seed(folder, ".") for folder in (pairs, bright, root / "outlined")]
    return {"dataset": [Seed(folder, "card.yaml")], "pairs": seeds}


def _scores(root: Path) -> dict[str, list[Seed]]:
    """What an earlier evaluation wrote."""
    from deepnets4eo.evaluation import evaluate_pairs

    truth = root / "labels" / "values" / "a.tif"
    folder = make_folder(root / "scores")
    write_json(folder / "a.json", evaluate_pairs([(truth, truth)], Legend.load("isprs")).to_dict())
    return {"scores": [Seed(folder, "a.json")]}


def _priors(root: Path) -> dict[str, list[Seed]]:
    """A grid.xml of a ShakeMap around the rasters, and curves."""
    folder = make_folder(root / "priors")
    nodes = "\n".join(
        f"{-95 + lon / 2} {38 - lat / 2} {6 + lat / 3:.2f} {20 + lon}" for lat in range(5) for lon in range(5)
    )
    fields = "".join(
        f'<grid_field index="{number}" name="{name}" units="{unit}"/>'
        for number, (name, unit) in enumerate({"LON": "dd", "LAT": "dd", "MMI": "intensity", "PGA": "pctg"}.items(), 1)
    )
    (folder / "grid.xml").write_text(
        f'<?xml version="1.0"?><shakemap_grid><event magnitude="7"/><grid_specification lon_min="-95" lat_min="36" lon_max="-93" '
        f'lat_max="38" nlon="5" nlat="5"/>{fields}<grid_data>{nodes}</grid_data></shakemap_grid>'
    )
    write_yaml(folder / "curves.yaml", {"shakemap": {"%g": {"median": 26, "beta": 0.6, "weight": 0.2}}})
    return {"shakemap": [Seed(folder, "grid.xml")], "curves": [Seed(folder, "curves.yaml")]}


FILES = (_rasters, _labels, _heights, _vectors, _osm, _cards, _datasets, _scores, _priors)
