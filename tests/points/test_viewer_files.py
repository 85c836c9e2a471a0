"""Files of points for viewers: other readers find in them what was written."""

import json
import struct

import numpy as np
import pytest
import shapely

from deepnets4eo.cards.legend import Legend
from deepnets4eo.points import PointCloud
from deepnets4eo.points.rubble.viewer_files import (
    BuildingBox,
    box_lines,
    height_colours,
    point_colours,
    thin_cloud,
    write_glb,
    write_ply,
)


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 30, (500, 3)) + [400_000, 5_800_000, 100]
    colour = rng.integers(0, 255, (500, 3)).astype(np.uint8)
    return PointCloud(xyz, colour=colour, classification=rng.choice(np.array([2, 6, 70], np.uint8), 500))


BOX = BuildingBox(shapely.box(400_002, 5_800_002, 400_012, 5_800_010), 100.0, 106.0, (255, 0, 0))


def glb_parts(path):
    data = path.read_bytes()
    magic, version, length = struct.unpack_from("<III", data)
    assert (magic, version, length) == (0x46546C67, 2, len(data))
    size, kind = struct.unpack_from("<II", data, 12)
    assert kind == 0x4E4F534A
    document = json.loads(data[20 : 20 + size])
    binary = data[20 + size + 8 :]
    assert document["buffers"][0]["byteLength"] == len(binary)
    return document, binary


def test_gltf_holds_points_with_y_up_from_a_stated_origin(cloud, tmp_path):
    document, binary = glb_parts(write_glb(cloud, tmp_path / "points.glb", *box_lines([BOX])))
    position, colour = document["accessors"][:2]
    view = document["bufferViews"][position["bufferView"]]
    local = np.frombuffer(binary, "<f4", view["byteLength"] // 4, view["byteOffset"]).reshape(-1, 3)
    origin = np.array(document["asset"]["extras"]["origin"])
    assert np.column_stack([local[:, 0], -local[:, 2], local[:, 1]]) + origin == pytest.approx(cloud.xyz, abs=1e-4)
    assert position["max"] == pytest.approx(local.max(axis=0).tolist())
    view = document["bufferViews"][colour["bufferView"]]
    rgba = np.frombuffer(binary, "u1", view["byteLength"], view["byteOffset"]).reshape(-1, 4)
    assert (rgba[:, :3] == cloud.colour).all()
    modes = [mesh["primitives"][0]["mode"] for mesh in document["meshes"]]
    assert modes == [0, 1]
    assert document["accessors"][2]["count"] == 2 * 12  # a box has twelve edges


def test_open3d_reads_the_ply_as_it_was_written(cloud, tmp_path):
    open3d = pytest.importorskip("open3d")
    path = write_ply(cloud, tmp_path / "points.ply")
    read = open3d.io.read_point_cloud(str(path))
    assert np.asarray(read.points) == pytest.approx(cloud.xyz, abs=1e-9)
    assert np.round(np.asarray(read.colors) * 255).astype(np.uint8).tolist() == cloud.colour.tolist()


def test_a_thin_cloud_keeps_what_belongs_to_its_points(cloud):
    pieces = [cloud.subset(slice(start, start + 90)) for start in range(0, 500, 90)]
    thin = thin_cloud(pieces, 500, 100)
    assert 60 < len(thin) < 150
    assert thin_cloud(pieces, 500, 500).xyz.tolist() == cloud.xyz.tolist()
    index = {tuple(point): number for number, point in enumerate(cloud.xyz)}
    own = [index[tuple(point)] for point in thin.xyz]
    assert (thin.colour == cloud.colour[own]).all()
    assert (thin.classification == cloud.classification[own]).all()


def test_points_without_colours_have_those_of_their_classes_or_heights(cloud):
    classified = PointCloud(cloud.xyz, classification=np.resize(np.array([2, 70, 200], np.uint8), 500))
    ground = next(one.color for one in Legend.load("asprs_las").classes if one.value == 2)
    assert point_colours(classified)[:3].tolist() == [list(ground), [255, 0, 170], [200, 200, 200]]
    assert (point_colours(PointCloud(cloud.xyz)) == height_colours(cloud.xyz[:, 2])).all()


def test_a_building_with_a_court_is_drawn_with_both_rings():
    court = shapely.Polygon(shapely.box(0, 0, 10, 10).exterior.coords, [shapely.box(4, 4, 6, 6).exterior.coords])
    lines, colours = box_lines([BuildingBox(court, 0.0, 5.0, (1, 2, 3))])
    assert len(lines) == len(colours) == 24
    assert colours.tolist()[0] == [1, 2, 3]
    assert set(lines[:, :, 2].ravel()) == {0.0, 5.0}
