"""Sound images with labels in each of their layouts, outlines of Overture Maps and of an Overpass server, a STAC item."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from deepnets4eo.files import write_json
from fuzzing.seed import Seed, buildings, image_array, make_folder, write_raster


def make_images(root: Path) -> dict[str, list[Seed]]:
    """kind → seeds."""
    folder = root / "images"
    for name in ("classes", "table"):
        for number in range(4):
            write_raster(folder / name / "ab"[number % 2] / f"{number}.png", image_array(number)[:, :16, :16])
    rows = "".join(
        f"{'ab'[number % 2]}/{number}.png,{'ab'[number % 2]},{'train' if number else 'val'}\n" for number in range(4)
    )
    (folder / "table" / "a.csv").write_text(f"image,label,split\n{rows}")
    images = np.stack([image_array(number)[:, :16, :16] for number in range(4)])
    np.savez(make_folder(folder / "archive") / "a.npz", images=images, labels=[0, 1, 0, -1])
    for version in (1, 2):
        _write_patches(folder / f"patches-{version}", version)
    mains = {"table": "a.csv", "archive": "a.npz"}
    seeds = [Seed(one, mains.get(one.name, ".")) for one in sorted(folder.iterdir())]
    return {
        "images": seeds,
        "outlines": _outlines(root),
        "overpass": _overpass(root),
        "stac": _stac(root),
    } | _catalogue(root)


def _write_patches(folder: Path, version: int) -> None:
    """Two patches of BigEarthNet in one band of Sentinel-2."""
    names = ["S2A_a", "S2A_b"]
    for name in names:
        home = folder / ("BigEarthNet-S2/scene" if version == 2 else "") / name
        write_raster(home / f"{name}_B02.tif", image_array(bands=1)[:, :12, :12])
        if version == 1:
            write_json(home / f"{name}_labels_metadata.json", {"labels": ["Pastures", "Airports"]})
    if version == 2:
        table = {"patch_id": names, "labels": [["Pastures"], ["Arable land"]], "split": ["train", "test"]}
        pd.DataFrame(table).to_parquet(folder / "metadata.parquet")


def _outlines(root: Path) -> list[Seed]:
    houses = buildings().to_crs("EPSG:4326")
    sources = [[{"dataset": "OpenStreetMap", "property": "", "update_time": "2020-01-01T00:00:00Z"}]] * len(houses)
    houses.assign(sources=sources, **{"class": "house"}).to_parquet(
        make_folder(root / "outlines" / "overture") / "a.parquet"
    )
    houses.to_file(make_folder(root / "outlines" / "plain") / "a.geojson")
    for name in ("xml", "pbf"):
        shutil.copytree(root / "osm" / name, root / "outlines" / name)
    mains = {"overture": "a.parquet", "plain": "a.geojson", "xml": "a.osm", "pbf": "a.osm.pbf"}
    return [Seed(root / "outlines" / name, main) for name, main in mains.items()]


def _overpass(root: Path) -> list[Seed]:
    """What a server answers: ways, and a relation of them."""
    elements: list[dict[str, object]] = []
    for number, house in enumerate(buildings().to_crs("EPSG:4326").geometry):
        line = [{"lon": lon, "lat": lat} for lon, lat in house.exterior.coords]
        tags = {"building": "yes"}
        about = {"id": number, "timestamp": "2020-01-01T00:00:00Z", "tags": tags}
        elements.append({"type": "way", "geometry": line} | about)
        elements.append({"type": "relation", "members": [{"role": "outer", "geometry": line}]} | about)
    path = make_folder(root / "overpass") / "a.json"
    path.write_text(json.dumps({"elements": elements}))
    return [Seed(path.parent, path.name)]


def _stac(root: Path) -> list[Seed]:
    folder = make_folder(root / "stac")
    write_raster(folder / "a.tif", image_array())
    assets = {"image": {"href": "./a.tif", "type": "image/tiff; application=geotiff", "roles": ["data"]}}
    write_json(folder / "a.json", {"type": "Feature", "stac_version": "1.0.0", "id": "a", "assets": assets})
    return [Seed(folder, "a.json")]


def _catalogue(root: Path) -> dict[str, list[Seed]]:
    """A list of two items, before and after an event, and a plan."""
    folder, extent = (
        make_folder(root / "catalogue"),
        {"spatial": {"bbox": [[2, 44, 4, 46]]}, "temporal": {"interval": [["2011-01-01T00:00:00Z", None]]}},
    )
    ring = [[2.9, 44.9], [3.1, 44.9], [3.1, 45.1], [2.9, 45.1], [2.9, 44.9]]
    asset = {"href": "a.tif", "type": "image/tiff", "roles": ["visual"], "raster:bands": [{"data_type": "uint8"}]}
    for name, day in (("a", "2011-05-20"), ("b", "2011-05-24")):
        properties = {
            "datetime": f"{day}T10:00:00Z",
            "gsd": 0.5,
            "eo:cloud_cover": 3,
            "view:off_nadir": 20,
            "view:azimuth": 90,
            "proj:code": "EPSG:32631",
        }
        geometry = {"type": "Polygon", "coordinates": [ring]}
        item = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": name,
            "bbox": [2.9, 44.9, 3.1, 45.1],
            "geometry": geometry,
        }
        write_json(folder / f"{name}.json", item | {"properties": properties, "assets": {"visual": asset}})
    links = [{"rel": "item", "href": f"{name}.json"} for name in "ab"]
    collection = {
        "type": "Collection",
        "stac_version": "1.0.0",
        "id": "c",
        "license": "MIT",
        "providers": [{"name": "P"}],
        "extent": extent,
    }
    write_json(folder / "c.json", collection | {"links": links})
    image = "{files: [a.tif], time: 2011-05-20T10:00Z, gsd_m: 0.5, off_nadir_deg: 20, azimuth_deg: 90, credit: P}"
    plan = f"box: [3, 45, 3.01, 45.01]\ndate: '2011-05-22'\nevent: {{name: Q}}\nbefore: {image}\nafter: {image}\noutlines: '-'\n"
    (folder / "plan.yaml").write_text(plan)
    return {
        "catalogue": [Seed(folder, "c.json"), Seed(folder, "a.json"), Seed(folder, "b.json")],
        "plan": [Seed(folder, "plan.yaml")],
    }
