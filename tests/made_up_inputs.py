"""Files of every kind that commands take, made up in small (SYNTHETIC): images, labels, heights, clouds of points, tables, datasets."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from geotiff import write_geotiff
from numpy.typing import NDArray

from deepnets4eo.cards import DatasetCard, Legend
from deepnets4eo.synthetic import City, Event

SIDE_PX, GSD_M = 384, 0.5
Maker = Callable[[Path], object]


@cache
def city() -> City:
    """The city that most files show."""
    return City(7, (SIDE_PX, SIDE_PX), GSD_M, event=Event(shift_px=(2.0, -3.0), rotation_deg=0.0))


def on_city(path: Path, array: NDArray[Any], **profile: Any) -> Path:
    """Write a raster on the grid of the city before the event."""
    return write_geotiff(path, array, crs=city().pre.grid.crs, transform=city().pre.grid.affine, **profile)


def heights() -> NDArray[np.float32]:
    """Metres above the ground."""
    return np.asarray(city().dsm - city().dtm, np.float32)


def isprs() -> NDArray[np.uint8]:
    """Classes of ISPRS."""
    return np.asarray(city().labels("isprs"), np.uint8)


def image(date: str, path: Path, bands: int = 3) -> None:
    """The city before or after."""
    acquired = getattr(city(), date)
    write_geotiff(path, acquired.image[:bands], crs=acquired.grid.crs, transform=acquired.grid.affine)


def raster(values: Callable[[], NDArray[Any]], path: Path) -> None:
    on_city(path, values())


def height(path: Path) -> None:
    """Metres above the ground, named in the file."""
    on_city(path, heights(), tags={"QUANTITY": json.dumps({"name": "height", "unit": "m"})})


def labels(path: Path, turned: bool = False) -> None:
    """Classes of ISPRS, named in the file."""
    on_city(path, isprs()[::-1] if turned else isprs(), tags={"LEGEND": json.dumps(Legend.load("isprs").to_dict())})


def surface(date: str, path: Path) -> None:
    """Heights of the surface before or after."""
    acquired = getattr(city(), date)
    values = np.asarray(acquired.dsm, np.float32)
    write_geotiff(path, values, crs=acquired.grid.crs, transform=acquired.grid.affine)


def outlines(path: Path, **columns: Any) -> None:
    """The outlines that a user has, with columns of one's own."""
    frame = city().footprints().assign(height_m=6.0)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.assign(**{name: make(len(frame)) for name, make in columns.items()}).to_file(path)


def part(array: NDArray[Any], number: int) -> NDArray[Any]:
    """A window of 128 px, another for each number."""
    rows, cols = (slice(128 * at, 128 * (at + 1)) for at in divmod(number, SIDE_PX // 128))
    return array[..., rows, cols]


def layer_in_parts(folder: Path, names: str, layers: dict[str, NDArray[Any]]) -> None:
    """Scenes as folders: a window of 128 px of each layer in each, every one at a place of its own."""
    for number, name in enumerate(names):
        for layer, array in layers.items():
            origin = (500_000 + 100 * number, 5_000_000)
            kind = {"photometric": "MINISBLACK"} if layer == "osm" else {}  # else its fourth band says what is valid
            write_geotiff(folder / name / f"{layer}.tif", part(array, number), gsd=GSD_M, origin=origin, **kind)


def tiles(folder: Path, names: str = "abcdef") -> None:
    """Scenes with labels of ISPRS's classes and heights."""
    layers = {
        "image": city().pre.image[:3],
        "labels": isprs(),
        "height": heights(),
        "osm": np.stack([isprs() == k for k in range(4)]).astype(np.uint8),
    }
    layer_in_parts(folder, names, layers)


def whole_scene(folder: Path) -> None:
    """The city with its labels as one scene."""
    image("pre", folder / "a" / "image.tif")
    labels(folder / "a" / "labels.tif")


def scenes_with_heights(folder: Path) -> None:
    """Scenes of which the first has no heights yet."""
    tiles(folder, "bcdef")
    image("pre", folder / "a" / "image.tif")
    labels(folder / "a" / "labels.tif")


def cubes(folder: Path) -> None:
    """The scene of Pavia's university and Salinas by the names of their cards."""
    from made_up_cube import make_cube
    from scipy.io import savemat

    folder.mkdir(parents=True)
    for name, key, bands in (("PaviaU", "paviaU", 103), ("Salinas_corrected", "salinas_corrected", 204)):
        cube, labels = make_cube(side=60)
        stretched = np.resize(cube, (bands, 60, 60))
        savemat(folder / f"{name}.mat", {key: stretched.transpose(1, 2, 0)})
        truth = name.removesuffix("_corrected") + "_gt"
        savemat(folder / f"{truth}.mat", {truth[0].lower() + truth[1:]: labels})


def cube(path: Path, key: str) -> None:
    from made_up_cube import make_cube
    from scipy.io import savemat

    values, truth = make_cube(side=60)
    savemat(path, {key: truth if key.endswith("gt") else np.resize(values, (103, 60, 60)).transpose(1, 2, 0)})


def vaihingen(folder: Path, layers: tuple[str, ...] = ("image", "labels", "labels_eroded", "dsm", "ndsm")) -> None:
    """Tiles of the benchmark's names."""
    from made_up_datasets import make_dataset

    parts = DatasetCard.load("isprs_vaihingen").splits["deepnetsforeo"]
    make_dataset(folder, "isprs_vaihingen", [*parts["train"], *parts["test"]], layers)


def bigearthnet(folder: Path) -> None:
    """Patches of both sensors of version 2, one file for each band."""
    import pandas as pd

    rows = []
    for number in range(12):
        name, radar_name = f"patch_{number}", f"S1_{number}"
        rng = np.random.default_rng(number)
        for band in ("B04", "B03", "B02"):
            values = rng.normal(400 * (1 + number % 3), 60, (120, 120)).clip(1).astype(np.uint16)
            write_geotiff(folder / "BigEarthNet-S2" / "scene" / name / f"{name}_{band}.tif", values, gsd=10)
        for band in ("VV", "VH"):
            values = rng.normal(-10 - number % 3, 1, (120, 120)).astype(np.float32)
            write_geotiff(folder / "BigEarthNet-S1" / "scene" / radar_name / f"{radar_name}_{band}.tif", values, gsd=10)
        label = ["Arable land", "Pastures", "Mixed forest"][number % 3]
        part = "train" if number < 6 else "validation" if number < 9 else "test"
        rows.append({"patch_id": name, "s1_name": radar_name, "labels": [label], "split": part})
    pd.DataFrame(rows).to_parquet(folder / "metadata.parquet")


def patches(folder: Path, bands: int = 13) -> None:
    """A folder for each class of EuroSAT, of patches of 64 px in 10 m."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(("AnnualCrop", "Forest", "River")):
        for copy in range(8):
            values = rng.normal(400 * (number + 1), 60, (bands, 64, 64)).clip(1, 4000)
            values = values.astype(np.uint16) if bands > 3 else (values / 16).astype(np.uint8)
            origin = (500_000 + 640 * (8 * number + copy), 5_000_000)
            write_geotiff(folder / name / f"{name}_{copy + 1}.tif", values, gsd=10, origin=origin)


def sentinel(path: Path, bands: int = 13) -> None:
    """A scene of Sentinel-2's bands."""
    rng = np.random.default_rng(1)
    cells = np.kron(rng.integers(1, 4, (4, 4)), np.ones((32, 32)))
    values = 400 * cells + rng.normal(0, 60, (bands, 128, 128))
    write_geotiff(path, values.clip(1, 4000).astype(np.uint16), gsd=10)


def archive(path: Path) -> None:
    """Patches without labels in an archive of numpy."""
    values = np.random.default_rng(2).integers(1, 2000, (6, 13, 64, 64)).astype(np.uint16)
    np.savez(path, images=values)


def cloud(path: Path, date: str = "pre") -> None:
    """Points of the city with classes, colours and infrared, as LAZ."""
    import laspy

    from deepnets4eo.points.files.cloud_file import to_words

    path.parent.mkdir(parents=True, exist_ok=True)
    points = getattr(city(), date).points(2.0)
    header = laspy.LasHeader(version="1.4", point_format=8)
    header.scales, header.offsets = np.full(3, 0.01), np.floor(points.xyz.min(axis=0))
    header.add_crs(city().pre.grid.crs)
    file = laspy.LasData(header)
    file.x, file.y, file.z = points.xyz.T
    file.classification = np.where(points.classification == 11, 2, points.classification)  # roads are ground
    file.red, file.green, file.blue = (to_words(np.full(len(points), shade, np.uint8)) for shade in (90, 110, 80))
    file.intensity = points.intensity.astype(np.uint16)
    file.return_number, file.number_of_returns = points.return_number, points.number_of_returns
    file.write(path)


def clouds(folder: Path) -> None:
    for number in range(4):
        cloud(folder / f"{number}.laz", "post" if number % 2 else "pre")


def xbd(names: tuple[str, str], folder: Path) -> None:
    """Pairs of two events."""
    from made_up_pairs import write_xbd

    write_xbd(folder, tuple(range(1, 9)), unclassified=0)
    for path in sorted(folder.glob("*/made-up-event-*")):
        number = int(path.name.removeprefix("made-up-event-")[0])
        path.rename(path.with_name(names[number] + path.name.removeprefix(f"made-up-event-{number}")))


def bright(folder: Path) -> None:
    from made_up_pairs import write_bright

    write_bright(folder, (1, 2, 3, 4))


def river(side_px: int, *, after: bool = False) -> NDArray[np.bool_]:
    """Water: a river, after the rain with a lake next to it."""
    wet = np.zeros((side_px, side_px), bool)
    wet[:, side_px // 4 : side_px * 2 // 5] = True
    if after:
        wet[side_px // 3 : side_px * 4 // 5, side_px // 3 : side_px * 3 // 4] = True
    return wet


def radar(path: Path, *, after: bool = False, side_px: int = 256) -> None:
    """VV and VH in decibel."""
    speckle = 10 * np.log10(np.random.default_rng(int(after)).gamma(4.4, 1 / 4.4, (2, side_px, side_px)))
    land, water = np.array([-9.0, -16.0])[:, None, None], np.array([-22.0, -29.0])[:, None, None]
    write_geotiff(path, (np.where(river(side_px, after=after), water, land) + speckle).astype(np.float32), gsd=10)


def optical(path: Path, *, after: bool = False, side_px: int = 256) -> None:
    """Thirteen bands of Sentinel-2 in 10 m, water dark in the infrared."""
    land, water = np.linspace(600, 2600, 13), np.linspace(900, 100, 13)
    values = np.where(river(side_px, after=after), water[:, None, None], land[:, None, None])
    noise = np.random.default_rng(6).normal(0, 40, values.shape)
    write_geotiff(path, (values + noise).clip(1).astype(np.uint16), gsd=10)


def series(folder: Path) -> None:
    """Twelve dates by their names, and next to them the masks of their clouds."""
    from made_up_series import Change, make_series

    for dated in make_series(
        size=128, count=12, changes=(Change(3, 3, 8), Change(1, 5, 6), Change(5, 1, 9), Change(6, 6, 7)), clouds=0.1
    ):
        name = f"{dated.day:%Y-%m-%d}.tif"
        write_geotiff(folder / name, np.asarray(dated.sources[0]), gsd=10)
        write_geotiff(folder.parent / "clouds" / name, np.asarray(dated.masks[0]), gsd=10)


def charter(folder: Path) -> None:
    """A site of the challenge of 2025."""
    date = city().post
    for band, name in enumerate(("red", "green", "blue")):
        path = folder / "Training" / "scene" / "Optical_Calibration" / f"r-{name}.tif"
        write_geotiff(path, date.image[band], crs=date.grid.crs, transform=date.grid.affine)
    path = folder / "Training" / "Annotations" / "All" / "gaziantep.gpkg"
    path.parent.mkdir(parents=True)
    city().buildings[["geometry"]].assign(damaged=np.arange(len(city().buildings)) % 2).to_file(path)


def legend(name: str, path: Path) -> None:
    """A legend as `datasets --legends NAME > FILE` writes it."""
    path.write_text(json.dumps(Legend.load(name).to_dict()), encoding="utf-8")


PLACE = {"crs": "EPSG:32633", "origin": (291_400, 4_641_000)}  # around 12.49, 41.89


def embedding(path: Path, seed: int = 0) -> None:
    """Vectors of 64 bands and of length one, in 10 m."""
    kinds = np.random.default_rng(3).normal(size=(3, 64))
    cells = np.kron(np.random.default_rng(3).integers(0, 3, (12, 12)), np.ones((8, 8), int))
    cells[:8, :8] = (cells[:8, :8] + seed) % 3
    values = kinds[cells].transpose(2, 0, 1) + np.random.default_rng(seed).normal(0, 0.05, (64, 96, 96))
    write_geotiff(
        path,
        (values / np.linalg.norm(values, axis=0)).astype(np.float32),
        gsd=10,
        **PLACE,
        tags={"EMBEDDING": "vectors"},
    )


def years(folder: Path) -> None:
    for year in range(2017, 2025):
        embedding(folder / f"{year}.tif", seed=int(year > 2021))


def embedded(folder: Path) -> None:
    """Embeddings with labels as tiles."""
    for number in range(4):
        embedding(folder / str(number) / "image.tif")
        cells = np.kron(np.random.default_rng(3).integers(0, 3, (12, 12)), np.ones((8, 8), int))
        write_geotiff(folder / str(number) / "labels.tif", cells.astype(np.uint8), gsd=10, **PLACE)


def cover(path: Path, year: int, side_px: int = 128) -> None:
    """Classes 0 to 2 in 10 m, some of another class in the later year."""
    cells = np.random.default_rng(4).integers(0, 3, (side_px // 8,) * 2)
    cells[:4] = (cells[:4] + (year > 2015)) % 3
    tags = {"LEGEND": json.dumps(Legend.load("minicity").to_dict())}
    write_geotiff(path, np.kron(cells, np.ones((8, 8), int)).astype(np.uint8), gsd=10, tags=tags)


def districts(path: Path) -> None:
    """Two halves of the city."""
    left, bottom, right, top = city().extent.bounds
    middle = (left + right) / 2
    halves = shapely.box([left, middle], bottom, [middle, right], top)
    gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=halves, crs=city().pre.grid.crs).to_file(path)


def other_map(path: Path, **columns: Any) -> None:
    """A map of another tool."""
    rng = np.random.default_rng(5)
    frame = city().footprints()[["geometry"]]
    share = rng.random(len(frame))
    states = np.where(share > 0.5, "destroyed", "no-damage")
    frame.assign(building=range(len(frame)), state=states, damage_pct_0m=share, **columns).to_file(path)


def surface_water(path: Path, wet: bool = False) -> None:
    """Red, green, blue of dry or drowned ground."""
    from made_up_golden import dates, flooded, site

    layer = flooded(site()) if wet else dates(site())[0]
    write_geotiff(path, layer.read()[0].astype(np.uint8), crs=site().pre.grid.crs, transform=site().pre.grid.affine)


def shakemap(path: Path) -> None:
    """Intensities of the United States Geological Survey's layout around the city."""
    from pyproj import Transformer

    left, bottom, right, top = city().extent.bounds
    back = Transformer.from_crs(city().pre.grid.crs, 4326, always_xy=True)
    west, south = back.transform(left, bottom)
    nodes = [(west + 0.02 * (col - 2), south + 0.02 * (2 - row)) for row in range(5) for col in range(5)]
    rows = "\n".join(f"{lon:.4f} {lat:.4f} 8.00 45.00" for lon, lat in nodes)
    fields = "".join(
        f'<grid_field index="{k}" name="{name}" units="{unit}"/>'
        for k, (name, unit) in enumerate((("LON", "dd"), ("LAT", "dd"), ("MMI", "intensity"), ("PGA", "%g")), 1)
    )
    lons, lats = zip(*nodes, strict=True)
    path.write_text(
        f'<?xml version="1.0"?><shakemap_grid xmlns="http://earthquake.usgs.gov/eqcenter/shakemap">'
        f'<event event_id="made-up" magnitude="7.0"/><grid_specification lon_min="{min(lons)}" lat_min="{min(lats)}" lon_max="{max(lons)}" '
        f'lat_max="{max(lats)}" nominal_lon_spacing="0.02" nominal_lat_spacing="0.02" nlon="5" nlat="5"/>{fields}<grid_data>\n{rows}\n</grid_data></shakemap_grid>',
        encoding="utf-8",
    )


def pbf(boxes: Callable[[], Any], path: Path) -> None:
    """Houses in OpenStreetMap's format."""
    sys.path.insert(0, str(Path(__file__).parent / "fuzz"))
    from fuzzing.openstreetmap import small_pbf

    path.write_bytes(small_pbf(boxes()))


def houses_of_city() -> list[shapely.Geometry]:
    return [shapely.box(*shape.bounds) for shape in city().buildings.to_crs(4326).geometry]


def houses_of_turkey() -> list[shapely.Geometry]:
    """In the box of the commands."""
    west = 36.12 + 0.001 * np.arange(5)
    return list(shapely.box(west, 36.22, west + 2e-4, 36.2202))


def pair_of_resolutions(path: Path) -> None:
    """Four bands in a quarter of the pixels."""
    grid = city().pre.grid
    values = city().pre.image.reshape(4, SIDE_PX // 4, 4, SIDE_PX // 4, 4).mean(axis=(2, 4)).astype(np.uint8)
    write_geotiff(path, values, crs=grid.crs, transform=grid.affine * grid.affine.scale(4))


def catalogue(path: Path) -> None:
    """A static catalogue with one image of before and one of after, around the city."""
    left, bottom, right, top = gpd.GeoSeries([city().extent], crs=city().pre.grid.crs).to_crs(4326).total_bounds
    box = [left - 0.001, bottom - 0.001, right + 0.001, top + 0.001]
    names = {"before": "2010-05-01T10:00:00Z", "after": "2011-05-29T10:00:00Z"}
    links = [{"rel": "item", "href": f"{name}.json"} for name in names]
    words = {"type": "Catalog", "stac_version": "1.0.0", "id": "copy", "description": "copy", "links": links}
    path.write_text(json.dumps(words), encoding="utf-8")
    for (name, when), date in zip(names.items(), ("pre", "post"), strict=True):
        image(date, path.parent / f"{name}.tif")
        asset = {
            "href": f"{name}.tif",
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
        }
        corners = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]], [box[0], box[1]]]
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "bbox": box, "links": [],
            "geometry": {"type": "Polygon", "coordinates": [corners]},
            "properties": {"datetime": when, "gsd": GSD_M, "eo:cloud_cover": 2},
            "assets": {"visual": asset},
        }  # fmt: skip
        (path.parent / f"{name}.json").write_text(json.dumps(item), encoding="utf-8")


def town(path: Path) -> None:
    gpd.GeoDataFrame(geometry=[city().extent.buffer(-20)], crs=city().pre.grid.crs).to_file(path)


def score(path: Path) -> None:
    """A map of change between 0 and 1."""
    on_city(path, (heights() / max(1.0, float(heights().max()))).clip(0, 1).astype(np.float32))


def probabilities(path: Path) -> None:
    """Probabilities of ISPRS's classes."""
    rng = np.random.default_rng(7)
    values = rng.random((6, SIDE_PX, SIDE_PX)).astype(np.float32)
    on_city(path, values / values.sum(axis=0))


def clicks(path: Path) -> None:
    """A click on a building."""
    centre = city().buildings.geometry.iloc[0].centroid
    frame = gpd.GeoDataFrame({"class": ["building"]}, geometry=[centre], crs=city().pre.grid.crs)
    frame.to_file(path)


def change_pairs(folder: Path) -> None:
    """Pairs with masks of change."""
    changed = (
        (np.abs(city().dsm - city().post.dsm[:SIDE_PX, :SIDE_PX]) > 2).astype(np.uint8)
        if city().post.shape == (SIDE_PX, SIDE_PX)
        else isprs() % 2
    )
    layer_in_parts(folder, "abcd", {"pre": city().pre.image[:3], "post": city().post.image[:3], "change": changed})


def chips(folder: Path) -> None:
    """Chips of Sen1Floods11's layout."""
    for number, name in enumerate(("Ghana_1", "India_2", "Spain_3", "Bolivia_4")):
        radar(folder / "S1Hand" / f"{name}_S1Hand.tif", after=bool(number % 2), side_px=128)
        wet = river(128, after=bool(number % 2)).astype(np.int16)
        write_geotiff(folder / "LabelHand" / f"{name}_LabelHand.tif", wet, gsd=10)


def stacks(folder: Path) -> None:
    """Triples of dates of Kuro Siwo's layout."""
    for event in ("130", "470", "514", "321"):
        for name in ("pre2", "pre", "post"):
            radar(folder / event / "01" / "PATCH" / f"{name}.tif", after=name == "post", side_px=128)
        both = river(128).astype(np.uint8) + 2 * (river(128, after=True) & ~river(128)).astype(np.uint8)
        write_geotiff(folder / event / "01" / "PATCH" / "water.tif", both, gsd=10)


def mapped(folder: Path) -> None:
    write_geotiff(folder / "321-01-PATCH.tif", river(128).astype(np.uint8), gsd=10)


def photos(folder: Path, values: Callable[[], NDArray[Any]]) -> None:
    """Windows of the city as PNG, without georeference."""
    for number, name in enumerate("abcdef"):
        write_geotiff(folder / f"{name}.png", part(values(), number), crs=None, driver="PNG")


def complex_radar(path: Path, own: float = 0.3) -> None:
    """A complex radar image on the grid of the city: what all dates share, and noise of its own."""
    shape = (SIDE_PX, SIDE_PX)
    noise = [rng.normal(size=(2, *shape)) for rng in (np.random.default_rng(0), np.random.default_rng(len(path.name)))]
    values = [real + 1j * imaginary for real, imaginary in noise]
    on_city(path, (values[0] + own * values[1]).astype(np.complex64))


def cities(folder: Path) -> None:
    """Two graded cities as photographs."""
    folder.mkdir(parents=True)
    for seed in (1, 2):
        made = City(seed, SIDE_PX, GSD_M, event=Event(damage_shares=(1, 1, 1, 1), clustering=0.0))
        for date in ("pre", "post"):
            taken = getattr(made, date)
            place = {"crs": taken.grid.crs, "transform": taken.grid.affine}
            write_geotiff(folder / f"{seed}_{date}.jpg", taken.image[:3], driver="JPEG", quality=95, **place)
        made.buildings[["damage", "geometry"]].to_file(folder / f"{seed}_grades.geojson")
