"""Surface models and the cloud mask of a job: of the same place and size, and what is unknown of them is said."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyproj
import pytest
from affine import Affine
from geotiff import write_geotiff
from made_up_evidence import gather
from refusals import raises_naming
from shapely import box

from deepnets4eo.cards import Quantity
from deepnets4eo.damage import Settings, assess, open_inputs
from deepnets4eo.damage.placing import with_clouds
from deepnets4eo.damage.site.site import Inputs
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.synthetic import City


@cache
def city() -> City:
    return City(seed=3, size_px=192)


@cache
def post_layer() -> Layer:
    return Layer.open(city().post.image, grid=city().post.grid)


def opened(mask: np.ndarray, grid: Grid, nodata: float | None = None) -> Inputs:
    clouds = Layer.open(mask[None], grid=grid, nodata=nodata)
    return open_inputs(None, post_layer(), city().footprints(), Settings(), cloud_mask=clouds)


def moved(columns: float) -> Grid:
    return Grid(
        post_layer().grid.shape, post_layer().grid.affine * Affine.translation(columns, 0), post_layer().grid.crs
    )


def codes(inputs: Inputs) -> list[str]:
    return [finding.code for finding in inputs.findings]


def test_a_mask_of_the_same_place_needs_no_word() -> None:
    assert codes(opened(np.zeros(post_layer().shape, np.uint8), post_layer().grid)) == []


def test_a_mask_of_another_place_is_refused() -> None:
    with pytest.raises(GridError, match=r"cloud-mask.* does not overlap"):
        opened(np.zeros(post_layer().shape, np.uint8), moved(5000))


def test_a_mask_without_a_place_and_of_another_size_is_refused() -> None:
    with pytest.raises(GridError):
        opened(np.zeros((50, 60), np.uint8), Grid((50, 60), Affine.identity(), None))


def test_surface_models_of_another_place_are_refused() -> None:
    heights = [Layer.open(np.zeros((1, *post_layer().shape), np.float32), grid=moved(5000)) for _ in range(2)]
    with raises_naming(GridError, "'dsm_pre'"):
        open_inputs(None, post_layer(), city().footprints(), Settings(), dsm_pre=heights[0], dsm_post=heights[1])


def test_what_a_mask_leaves_open_is_said() -> None:
    assert codes(opened(np.zeros(post_layer().shape, np.uint8), moved(96))) == ["cloud_mask_covers_a_part"]


def test_where_a_mask_has_no_data_counts_as_clouded() -> None:
    mask = np.zeros((1, *post_layer().shape), np.uint8)
    mask[:, :, 96:] = 255
    masks = [Layer.open(mask, grid=post_layer().grid, nodata=nodata) for nodata in (None, 255)]
    reasons = [
        assess(None, post_layer(), city().footprints(), cloud_mask=one).buildings["reason"].tolist() for one in masks
    ]
    assert 2 <= reasons[0].count("under cloud") < len(reasons[0])
    assert reasons[0] == reasons[1]


def test_buildings_under_a_cloud_that_the_image_shows_are_not_assessed() -> None:
    pre, settings = (
        Layer.open(city().pre.image, grid=city().pre.grid),
        Settings(network=False, align=False, assume_registered=True),
    )
    image = np.random.default_rng(0).normal(220, 4, (60, *post_layer().shape)).mean(axis=0)  # as smooth as clouds are
    cloud = Layer.open(np.broadcast_to(image.astype(np.uint8), (3, *post_layer().shape)), grid=post_layer().grid)
    clear = open_inputs(pre, post_layer(), city().footprints(), settings)
    assert with_clouds(clear, settings, None) is clear
    found = with_clouds(replace(clear, post=cloud), settings, None)
    assert found.findings[-1].message.startswith("Clouds hide 100.0% of the post image")
    evidence = gather(None, cloud, found.footprints, None, cloud_mask=found.cloud_mask)
    assert set(evidence.frame["reason"]) == {"under cloud"}


def test_a_mask_whose_clear_pixels_are_no_data_is_refused() -> None:
    with raises_naming(InputError, "--cloud-mask", "declares 0"):
        opened(np.zeros(post_layer().shape, np.uint8), post_layer().grid, nodata=0)


def test_a_map_of_water_whose_dry_ground_is_no_data_is_refused(tmp_path: Path) -> None:
    water, grid = np.ones((1, *post_layer().shape), np.uint8), post_layer().grid
    path = write_geotiff(tmp_path / "water.tif", water, crs=grid.crs, transform=grid.affine, nodata=0)
    with raises_naming(InputError, "--water", "water.tif", "0"):
        open_inputs(None, post_layer(), city().footprints(), Settings(water=str(path)))


def test_buildings_that_the_edge_of_the_image_cuts_are_named_so() -> None:
    left, top = post_layer().grid.affine @ (0, 0)
    outlines = [box(left - 4, top - 40, left + 6, top - 30), box(left - 30, top - 40, left - 20, top - 30)]
    bent = box(left - 40, top - 20, left + 40, top - 12) | box(
        left - 40, top - 40, left - 5, top - 12
    )  # its box lies half inside
    table = gpd.GeoDataFrame(geometry=[*outlines, bent, *city().footprints().geometry[:3]], crs=post_layer().grid.crs)
    reasons = assess(None, post_layer(), table).buildings["reason"].tolist()
    assert reasons[:2] == ["partly outside the post image", "outside the post image"]
    assert "outside the post image" in reasons[2]


def test_surface_models_whose_vertical_crs_is_in_feet_are_read_in_metres() -> None:
    grid = Grid(post_layer().grid.shape, post_layer().grid.affine, pyproj.CRS("EPSG:32633+6360").to_wkt())
    heights = [Layer.open(np.full((1, *post_layer().shape), feet, np.float32), grid=grid) for feet in (11, 10)]
    opened = open_inputs(None, post_layer(), city().footprints(), Settings(), dsm_pre=heights[0], dsm_post=heights[1])
    assert opened.dsm_post is not None
    assert opened.dsm_post.read()[0] == pytest.approx(12000 / 3937)  # US survey feet
    assert opened.dsm_post.grid.crs is not None
    assert not opened.dsm_post.grid.crs.proj.is_compound  # which would say that they are in feet


def test_surface_models_with_gaps_are_named_with_their_share() -> None:
    values = np.full((1, *post_layer().shape), 10, np.float32)
    values[:, : values.shape[1] // 2] = np.nan
    heights = [Layer.open(values - fallen, grid=post_layer().grid) for fallen in np.float32([0, 1])]
    found = open_inputs(
        None, post_layer(), city().footprints(), Settings(), dsm_pre=heights[0], dsm_post=heights[1]
    ).findings
    gaps = [one for one in found if one.code.endswith("_has_gaps")]
    assert [one.code for one in gaps] == ["dsm_pre_has_gaps", "dsm_post_has_gaps"]
    assert float(gaps[0].message.split("%")[0].split()[-1]) == pytest.approx(50, abs=5)


def test_heights_that_a_network_estimated_are_named_so(tmp_path: Path) -> None:
    paths = [tmp_path / "pre.tif", tmp_path / "post.tif"]
    for height_m, path in enumerate(paths):
        with CogWriter(
            path, post_layer().grid, dtype="float32", nodata=np.nan, tags=Quantity.from_name("height").to_tags()
        ) as writer:
            writer.write(whole(post_layer().grid), np.full((1, *post_layer().shape), height_m, np.float32))
    found = open_inputs(
        None, post_layer(), city().footprints(), Settings(), dsm_pre=paths[0], dsm_post=paths[1]
    ).findings
    assert [one.code for one in found if one.code.endswith("_estimated")] == ["dsm_pre_estimated", "dsm_post_estimated"]
    assert "a network estimated" in found[-1].message
