"""OSM rasters in a scene: where the map ends, the prediction goes on; and real extracts."""

import bz2

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
import torch
from affine import Affine

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.grid import Grid
from deepnets4eo.osm import rasterize_osm
from deepnets4eo.prediction import predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter
from deepnets4eo.synthetic import City
from deepnets4eo.synthetic.write import write_raster

CITY = City(3, 128, 0.5)
ROADS, BUILDINGS, VEGETATION, WATER = range(4)


def test_a_scene_with_a_map_of_one_half_is_valid_and_prepared_everywhere(tmp_path):
    left, bottom, right, top = CITY.grid.extent.boundingbox.bbox
    half = gpd.GeoSeries([shapely.box(left, bottom, (left + right) / 2, top)], crs=CITY.grid.crs.proj)
    osm = Layer.open(rasterize_osm(CITY.osm(), CITY.grid, tmp_path / "osm.tif", coverage=half))
    scene = Scene({"image": Layer.open(CITY.image, grid=CITY.grid), "osm": osm})
    sample = scene.read()
    assert sample["valid"].all()
    assert (sample["osm"][:, :, 64:] == 0).all()
    assert (sample["osm"][BUILDINGS, :, :64] != 0).all()
    spec = InputSpec.measure([scene], ["image", "osm"])
    assert spec.in_channels == 8
    prepared = spec.prepare(sample)
    assert np.isfinite(prepared).all()
    assert (prepared[:4, :, 64:] != 0).any(axis=0).all()


def test_a_segmenter_on_image_and_map_labels_also_what_lies_beyond_the_map(tmp_path):
    houses = CITY.osm()["buildings"].iloc[:3]
    osm = Layer.open(rasterize_osm({"buildings": houses}, CITY.grid, tmp_path / "osm.tif"))
    scene = Scene({"image": Layer.open(CITY.image, grid=CITY.grid), "osm": osm})
    legend = Legend.load("isprs")
    spec = InputSpec.measure([scene], ["image", "osm"])
    torch.manual_seed(0)
    out = tmp_path / "labels.tif"
    predict(NetworkSegmenter({"name": "osmnet", "width": 8}, spec, legend), scene, out)
    with rasterio.open(out) as file:
        assert (file.read(1) != 255).all()


def test_the_verb_takes_files_by_class_and_prints_where_the_result_is(tmp_path, capsys):
    write_raster(tmp_path / "image.tif", CITY.grid, CITY.image, {})
    CITY.osm()["buildings"].to_file(tmp_path / "houses.gpkg")
    out = tmp_path / "osm.tif"
    command = ["layers", "osm", str(tmp_path / "image.tif"), f"buildings={tmp_path / 'houses.gpkg'}", "--out", str(out)]
    assert main([*command, "--coverage", "everywhere", "--set", "complete=water,roads"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    data, _ = Layer.open(out).read()
    assert [np.unique(band).tolist() for band in data] == [[-1], [-1, 1], [0], [-1]]
    assert main(command) == 1
    assert main([*command, "more.osm", "--overwrite"]) == 2
    assert "mixes" in capsys.readouterr().err


def extract_grid(crs, box, gsd_m=0.5):
    left, bottom, right, top = gpd.GeoSeries([shapely.box(*box)], crs=4326).to_crs(crs).total_bounds
    shape = (int((top - bottom) / gsd_m), int((right - left) / gsd_m))
    return Grid(shape, Affine(gsd_m, 0, left, 0, -gsd_m, top), crs)


@pytest.mark.real_data
def test_a_bavarian_extract_is_known_within_its_stated_bounds(real_data, tmp_path):
    box = (10.068, 48.135, 10.071, 48.137)
    source = real_data / "osm_extracts/planet_10.068,48.135_10.071,48.137.osm"
    grid = extract_grid("EPSG:25832", (10.067, 48.1345, 10.072, 48.1375))
    data, valid = Layer.open(rasterize_osm(source, grid, tmp_path / "osm.tif")).read()
    assert valid.all()
    known = gpd.GeoSeries([shapely.segmentize(shapely.box(*box), 1e-4)], crs=4326).to_crs(grid.crs.proj)
    inside = rasterio.features.rasterize(known, tuple(grid.shape), transform=grid.affine) > 0
    assert ((data[BUILDINGS] != 0) == inside).mean() > 0.9999
    assert 20 * 80 < (data[BUILDINGS] == 1).sum() * 0.25 < 40 * 250  # some 25 houses of a village
    assert (data[ROADS] == 1).any()
    again = values_of(rasterize_osm(packed(source, tmp_path), grid, tmp_path / "b.tif"))
    assert np.array_equal(again, data)


@pytest.mark.real_data
def test_west_oakland_is_read_from_its_packed_file(real_data, tmp_path):
    grid = extract_grid("EPSG:32610", (-122.30258, 37.80615, -122.29825, 37.80914))
    data = values_of(rasterize_osm(real_data / "osm_extracts/West-Oakland.osm.bz2", grid, tmp_path / "o.tif"))
    assert 0.05 < (data[ROADS] == 1).mean() < 0.5
    assert (data[BUILDINGS] == 1).any()


@pytest.mark.real_data
def test_dutch_map_polygons_become_layers_of_the_surface_model(real_data, tmp_path):
    folder = real_data / "ahn3_delft"
    files = {"roads": "wegdeel", "buildings": "pand", "vegetation": "begroeidterreindeel", "water": "waterdeel"}
    sources = {name: folder / f"bgt_{file}.sqlite" for name, file in files.items()}
    table = gpd.read_file(sources["buildings"])
    left, bottom, right, top = table.total_bounds
    grid = Grid((int(top - bottom), int(right - left)), Affine(1, 0, left, 0, -1, top), "EPSG:28992")
    data = values_of(rasterize_osm(sources, grid, tmp_path / "bgt.tif", coverage="everywhere", attribution=""))
    drawn = rasterio.features.rasterize(table.geometry, tuple(grid.shape), transform=grid.affine) > 0
    assert np.array_equal(data[BUILDINGS] == 1, drawn)
    assert (data == 1).any(axis=(1, 2)).all()
    assert ((data == 1).sum(axis=0) <= 1).all()
    assert "LICENSE" not in Layer.open(tmp_path / "bgt.tif").tags


@pytest.mark.real_data
def test_kampalas_footprints_lie_where_their_mask_has_them(real_data, tmp_path):
    folder = real_data / "fair_kampala"
    source = {"buildings": folder / "labels.geojson"}
    data = values_of(rasterize_osm(source, folder / "block0_image.tif", tmp_path / "k.tif", coverage="everywhere"))
    with rasterio.open(folder / "block0_mask.tif") as file:
        mask = file.read(1) > 0
    drawn = data[BUILDINGS] == 1
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.99


def packed(source, folder):
    path = folder / "map.osm.bz2"
    path.write_bytes(bz2.compress(source.read_bytes()))
    return path


def values_of(path):
    return Layer.open(path).read()[0]
