"""Files of points for viewers: other readers find in them what was written; the page is whole and harmless."""

import json
import struct

import numpy as np
import pytest
import shapely

from deepnets4eo.outputs.findings import Finding
from deepnets4eo.points import PointCloud
from deepnets4eo.points.display3d.viewer_files import (
    BuildingBox,
    box_lines,
    class_table,
    height_colours,
    thin_cloud,
    write_glb,
    write_ply,
    write_point_page,
)


@pytest.fixture
def cloud():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(0, 30, (500, 3)) + [400_000, 5_800_000, 100]
    colour = rng.integers(0, 255, (500, 3)).astype(np.uint8)
    return PointCloud(xyz, colour=colour, classification=rng.choice(np.array([2, 6, 70], np.uint8), 500))


BOX = BuildingBox("b</script>1", shapely.box(400_002, 5_800_002, 400_012, 5_800_010), 100.0, 106.0, (255, 0, 0), "collapsed", (("Debris", "120 m³"),))  # fmt: skip


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


def test_classes_have_the_names_of_asprs_and_rubble_its_own(cloud):
    rows = class_table(cloud)
    assert [(row["code"], row["name"]) for row in rows] == [(2, "ground"), (6, "building"), (70, "rubble")]
    assert sum(row["points"] for row in rows) == 500
    assert class_table(PointCloud(cloud.xyz)) == []
    assert height_colours(cloud.xyz[:, 2]).shape == (500, 3)


def test_the_page_is_one_file_that_no_name_can_break(cloud, tmp_path):
    finding = Finding("a", "caution", "<b>few</b> heights", "Scan & see")
    page = write_point_page(cloud, tmp_path / "view.html", [BOX], title="A <town>", findings=[finding], synthetic=True)
    text = page.read_text(encoding="utf-8")
    assert "SYNTHETIC: A &lt;town&gt;" in text
    assert "&lt;b&gt;few&lt;/b&gt; heights" in text
    assert "b</script>1" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "%%" not in text


def test_a_building_with_a_court_is_drawn_with_both_rings():
    court = shapely.Polygon(shapely.box(0, 0, 10, 10).exterior.coords, [shapely.box(4, 4, 6, 6).exterior.coords])
    lines, colours = box_lines([BuildingBox("c", court, 0.0, 5.0, (1, 2, 3), "standing")])
    assert len(lines) == len(colours) == 24
    assert colours.tolist()[0] == [1, 2, 3]
    assert set(lines[:, :, 2].ravel()) == {0.0, 5.0}
