"""Tiles hold every point once, and their halos are the points around them."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from made_up_clouds import scattered, write_las
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.points import open_cloud
from deepnets4eo.points.tiles import TiledPoints, sort_in_tiles


def sorted_points(path: Path, folder: Path, most_points: int, halo_m: float, neighbours=()) -> TiledPoints:
    file = open_cloud(path)
    others = [open_cloud(one) for one in neighbours]
    counts = list(sort_in_tiles(file, folder, most_points=most_points, halo_m=halo_m, neighbours=others))
    assert counts[-1] == file.point_count
    return TiledPoints(folder, file.crs, str(path))


@given(st.integers(0, 1000), st.integers(20, 400), st.sampled_from([0.0, 1.5, 7.0, 60.0]))
def test_tiles_hold_each_point_once_and_halos_all_points_within_reach(tmp_path_factory, seed, most_points, halo_m):
    folder = tmp_path_factory.mktemp("tiles")
    xyz = scattered(400, seed=seed)
    tiles = sorted_points(write_las(folder / "a.las", xyz), folder / "sorted", most_points, halo_m)
    seen = np.zeros(len(xyz), int)
    for tile in tiles.tiles:
        points = tiles.read(tile, halo_m)
        own = len(points.index)
        seen[points.index] += 1
        np.testing.assert_allclose(points.cloud.xyz[:own], xyz[points.index], atol=1e-6)
        np.testing.assert_array_equal(points.cloud.intensity[:own], points.index * 7 % 3000)
        x0, y0, x1, y1 = tile.bounds(halo_m)
        around = (xyz[:, 0] >= x0) & (xyz[:, 0] <= x1) & (xyz[:, 1] >= y0) & (xyz[:, 1] <= y1)
        assert len(points.cloud) == around.sum()
    assert (seen == 1).all()


def test_dense_tiles_are_divided_until_they_fit(tmp_path: Path) -> None:
    xyz = np.vstack([scattered(200), scattered(800, side_m=2.0)])
    tiles = sorted_points(write_las(tmp_path / "a.las", xyz), tmp_path / "sorted", 100, 0.0)
    assert max(tile.points for tile in tiles.tiles if tile.side_m > 0.5) <= 100
    assert len({tile.side_m for tile in tiles.tiles}) > 2


def test_copies_of_one_point_end_the_division(tmp_path: Path) -> None:
    xyz = np.repeat(scattered(1), 500, axis=0)
    tiles = sorted_points(write_las(tmp_path / "a.las", xyz), tmp_path / "sorted", 100, 0.0)
    assert [tile.points for tile in tiles.tiles] == [500]


def test_points_of_neighbouring_files_are_in_halos_only(tmp_path: Path) -> None:
    xyz = scattered(300)
    east = xyz + [40.0, 0, 0]
    paths = [write_las(tmp_path / "a.las", xyz), write_las(tmp_path / "b.las", east)]
    tiles = sorted_points(paths[0], tmp_path / "sorted", 150, 5.0, paths[1:])
    read = [points for tile in tiles.tiles if (points := tiles.read(tile, 5.0)) is not None]
    assert sum(len(points.index) for points in read) == 300
    foreign = np.vstack([points.cloud.xyz[len(points.index) :] for points in read])
    limit = xyz[:, 0].max() + 5.0
    assert (foreign[:, 0] <= limit + 1e-6).all()
    assert set(np.round(east[east[:, 0] <= min(limit, xyz[:, 0].max() + 2), 0], 2)) <= set(np.round(foreign[:, 0], 2))


def test_a_neighbour_far_away_is_not_read(tmp_path: Path) -> None:
    paths = [write_las(tmp_path / "a.las", scattered(50)), write_las(tmp_path / "b.las", scattered(50) + [500, 0, 0])]
    far = open_cloud(paths[1])
    far.chunks = None  # reading it would fail
    list(sort_in_tiles(open_cloud(paths[0]), tmp_path / "sorted", most_points=100, halo_m=5.0, neighbours=[far]))


def test_a_neighbour_of_another_crs_is_refused(tmp_path: Path) -> None:
    paths = [
        write_las(tmp_path / "a.las", scattered(10)),
        write_las(tmp_path / "b.las", scattered(10), crs="EPSG:3857"),
    ]
    with raises_naming(InputError, "b.las", "CRS", "WGS", "84", "/"):
        sorted_points(paths[0], tmp_path / "sorted", 100, 1.0, paths[1:])


@pytest.mark.parametrize("offset_m", [0.0, 7.3, 31.9])
def test_a_small_file_is_one_tile_wherever_it_lies(tmp_path, offset_m):
    xyz = scattered(400) + [offset_m, -offset_m, 0]
    tiles = sorted_points(write_las(tmp_path / "a.las", xyz), tmp_path / "sorted", 4000, 0.0)
    assert [tile.points for tile in tiles.tiles] == [400]
