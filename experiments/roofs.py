"""Roofs of CityJSON by ball pivoting beside flat prisms: how far points lie from them, how large they are.

Usage: python experiments/roofs.py --data FOLDER [--smoke]     (folders ahn3_delft and ign_lidar_hd)
Outlines: of AHN3 the buildings of the map (BGT), of IGN the points that are classified as buildings, as squares of 1 m that hang together. The points
that the triangles were made of are left out of the distances. Prisms end at the mean height, as the file has them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from scipy.ndimage import label
from script import add_smoke, plain_errors, require_files, title_of

from deepnets4eo.arrays import Floats
from deepnets4eo.footprints import read_footprints
from deepnets4eo.points import PointCloud, debris_volumes, open_cloud
from deepnets4eo.points.meshes import import_open3d
from deepnets4eo.points.rubble.roofs import Roof, roof_points, roofs_before
from deepnets4eo.points.rubble.surfaces import Heights

BUILDING, CELL_M, MIN_M2 = 6, 1.0, 20.0
NOT_OF_THE_MESH_M = 0.02


def outlines_of_points(cloud: PointCloud) -> gpd.GeoDataFrame:
    """Squares with points of buildings that hang together, from 20 m²."""
    assert cloud.classification is not None
    low = np.floor(cloud.xyz[:, :2].min(axis=0))
    cell = ((cloud.xyz[cloud.classification == BUILDING, :2] - low) / CELL_M).astype(int)
    built = np.zeros(cell.max(axis=0) + 1, bool)
    built[tuple(cell.T)] = True
    house, count = label(built)
    shapes = []
    for number in range(1, count + 1):
        corners = low + np.argwhere(house == number) * CELL_M
        shapes.append(shapely.union_all(shapely.box(*corners.T, *(corners + CELL_M).T)))
    frame = gpd.GeoDataFrame(geometry=shapes, crs=cloud.crs)
    return frame[frame.area >= MIN_M2].reset_index(drop=True)


def scenes(data: Path, *, smoke: bool) -> Iterator[tuple[str, PointCloud, gpd.GeoDataFrame]]:
    """Name, points and outlines."""
    tiles = require_files(data / "ign_lidar_hd", "*.laz")
    cloud = PointCloud.join([open_cloud(path).read() for path in (tiles[:1] if smoke else tiles)])
    yield f"IGN LiDAR HD, {1 if smoke else len(tiles)} tiles", cloud, outlines_of_points(cloud)
    if not smoke:
        cloud = open_cloud(require_files(data / "ahn3_delft", "*_1.laz")[0], crs="EPSG:28992").read()
        yield (
            "AHN3 Delft, file 1",
            cloud,
            read_footprints(data / "ahn3_delft" / "bgt_pand.sqlite", assume_crs="EPSG:28992").frame,
        )


def distances_m(points: Floats, roof: Roof) -> Floats:
    """(P,) distances of points from a roof, without those at its corners."""
    o3d = import_open3d()
    scene, origin = o3d.t.geometry.RaycastingScene(), roof.corners.mean(axis=0)
    scene.add_triangles((roof.corners - origin).astype(np.float32), roof.faces.astype(np.uint32))
    away = scene.compute_distance((points - origin).astype(np.float32)).numpy()
    corner = o3d.t.geometry.PointCloud((roof.corners - origin).astype(np.float32))
    beside = o3d.t.geometry.PointCloud((points - origin).astype(np.float32)).to_legacy()
    free = np.asarray(beside.compute_point_cloud_distance(corner.to_legacy())) > NOT_OF_THE_MESH_M
    return np.where(free, away, np.nan)


def row_of(name: str, cloud: PointCloud, outlines: gpd.GeoDataFrame) -> list[str]:
    """The cells of a scene."""
    buildings = debris_volumes(cloud, outlines, cloud).buildings
    roofs = roofs_before(Heights.open(cloud), buildings)
    number, xyz = roof_points(cloud, buildings)
    flat, near, areas = [], [], []
    for row, one in enumerate(buildings.to_dict("records")):
        if (roof := roofs.get(str(one["id"]))) is not None:
            points = xyz[number == row]
            away = distances_m(points, roof)
            near.append(away[np.isfinite(away)])
            flat.append(np.abs(points[np.isfinite(away), 2] - one["terrain_m"] - one["height_pre_m"]))
            areas.append((one["geometry"].area, roof.area_m2, len(roof.faces)))
    of_outline, of_roof, faces = np.sum(areas, axis=0)
    before, after = np.concatenate(flat), np.concatenate(near)
    return [
        name, f"{len(roofs)} of {len(buildings)}", f"{of_outline:,.0f}", f"{of_roof:,.0f}", f"{faces:,.0f}",
        f"{np.median(before):.2f}; {np.percentile(before, 95):.2f}", f"{np.median(after):.3f}; {np.percentile(after, 95):.2f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    add_smoke(parser)
    arguments = parser.parse_args()
    print(title_of("Roofs by ball pivoting", smoke=arguments.smoke))
    head = ["scene", "dense roofs", "outlines, m²", "roofs, m²", "triangles", "points from prism, m (median; 95 %)"]
    head.append("from triangles, m")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for scene in scenes(arguments.data, smoke=arguments.smoke):
        print(f"| {' | '.join(row_of(*scene))} |", flush=True)


if __name__ == "__main__":
    with plain_errors():
        main()
