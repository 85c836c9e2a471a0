"""A look at points: what the page holds is what the cloud has, its bytes are bounded, and a flight shows the place from all sides."""

import base64
import gzip
import html
import json
import re
import sys
from types import SimpleNamespace

import laspy
import numpy as np
import pytest
from made_up_clouds import scattered, write_las
from refusals import raises_naming

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.points import PointCloud, draw, fly_around, show_cloud
from deepnets4eo.points.look import window

RNG = np.random.default_rng(0)
FAR = np.array([700_000.0, 6_600_000.0, 100.0])


def field(count=5000, **beside):
    return PointCloud(FAR + RNG.uniform(0, (80, 40, 10), (count, 3)), **beside)


def unpacked(page):
    """What the page says, its coordinates (N, 3) in metres from the lowest corner, and the bytes after them."""
    content = json.loads(re.search(r'id="content" type="application/json">(.*?)</script>', page, re.DOTALL)[1])
    raw = gzip.decompress(base64.b64decode(re.search(r'id="points" type="text/plain">(.*?)</script>', page)[1]))
    count = content["count"]
    xyz = np.frombuffer(raw, "<u2", 3 * count).reshape(3, count).T * content["step"]
    return content, xyz, np.frombuffer(raw, np.uint8)[6 * count :]


def test_the_page_holds_the_points_to_a_step_with_their_classes_and_colours():
    codes, colour = RNG.choice([2, 6, 200], 5000).astype(np.uint8), RNG.integers(0, 256, (5000, 3)).astype(np.uint8)
    cloud = field(classification=codes, colour=colour)
    content, xyz, rest = unpacked(draw(cloud).html())
    np.testing.assert_allclose(xyz, cloud.xyz - cloud.xyz.min(axis=0), atol=content["step"])
    assert content["step"] < 0.002
    names = [one["name"] for one in content["classes"]]
    assert names == ["ground", "building", "no class of the legend"]
    assert [one["points"] for one in content["classes"]] == [int((codes == code).sum()) for code in (2, 6, 200)]
    np.testing.assert_array_equal(np.array([2, 6, 200])[rest[:5000]], codes)
    np.testing.assert_array_equal(rest[5000:].reshape(3, -1).T, colour)


def test_no_more_points_are_drawn_than_asked_for_evenly_and_the_same_every_time(tmp_path):
    cloud = field(20_000)
    first, second = (draw(cloud, most=1000) for _ in range(2))
    assert (len(first.cloud), first.of_points) == (1000, 20_000)
    np.testing.assert_array_equal(first.cloud.xyz, second.cloud.xyz)
    assert abs((first.cloud.xyz[:, 0] < FAR[0] + 40).mean() - 0.5) < 0.05
    assert "1,000 of 20,000 points" in first.html()
    path = write_las(tmp_path / "a.las", scattered(4000), point_format=6)
    assert len(draw(path, most=500).cloud) == 500
    assert len(draw(path).cloud) == draw(path).of_points == 4000
    assert [len(draw(cloud, most=most).cloud) for most in (1, 2, 19_999)] == [1, 2, 19_999]
    for most in (0, 1_000_001):
        with raises_naming(InputError, "1", "000"):
            draw(cloud, most=most)


def test_bytes_of_a_page_are_bounded_by_its_points():
    small, large = (
        len(draw(field(count, colour=RNG.integers(0, 256, (count, 3)).astype(np.uint8))).html()) for count in (1000, 50_000)
    )  # fmt: skip
    assert small < 60_000
    assert large - small <= 49_000 * 10 * 4 / 3 * 1.01


def test_noise_and_withheld_points_are_not_shown(tmp_path):
    cloud = field(classification=np.full(5000, 2, np.uint8), withheld=np.arange(5000) < 7)
    cloud.classification[-11:] = 18
    assert len(draw(cloud).cloud) == 5000 - 18
    path = write_las(tmp_path / "a.las", scattered(4000), point_format=6)
    las = laspy.read(path)
    las.classification[:40] = 7
    las.write(path)
    assert len(draw(path).cloud) == 3960
    with pytest.raises(InputError, match="all points are withheld or classified as noise"):
        draw(field(classification=np.full(5000, 18, np.uint8)))


def test_titles_are_escaped_and_made_up_points_say_so():
    page = draw(field(source="<b>a</b>.laz", synthetic=True)).html()
    assert "<h1>SYNTHETIC &lt;b&gt;a&lt;/b&gt;.laz</h1>" in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_notebook_shows_the_page_in_a_frame():
    look = draw(field(50))
    frame = look._repr_html_()
    assert html.unescape(re.search(r'srcdoc="(.*?)" title', frame, re.DOTALL)[1]) == look.html()


def test_a_legend_of_ones_own_names_the_classes():
    legend = Legend.from_dict({"name": "own", "classes": [{"value": 9, "name": "wreck", "color": [1, 2, 3]}]})
    content, _, _ = unpacked(draw(field(classification=np.full(5000, 9, np.uint8)), legend).html())
    assert content["classes"] == [{"name": "wreck", "colour": [1, 2, 3], "points": 5000}]


def test_the_verb_writes_a_page_of_the_labels_beside_its_result(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(window, "has_display", lambda: False)
    cloud = write_las(tmp_path / "a.las", scattered(4000), point_format=6)
    words = ["label-points", str(cloud), "--model", "rules", "--out", str(tmp_path / "b.laz"), "--view"]
    assert main(words) == 0
    page = tmp_path / "b.html"
    assert capsys.readouterr().out.splitlines()[-1] == str(page)
    content, _, _ = unpacked(page.read_text(encoding="utf-8"))
    assert sum(one["points"] for one in content["classes"]) == 4000
    assert {one["name"] for one in content["classes"]} <= set(draw(tmp_path / "b.laz").legend.names)
    (tmp_path / "b.laz").unlink()
    assert main(words) == 1  # a page that is there is not overwritten
    assert "b.html exists already" in capsys.readouterr().err
    assert not (tmp_path / "b.laz").exists()


class Window:
    """Stands in for Open3D's window."""

    opens = True
    shown = ()

    def create_window(self, **_):
        return Window.opens

    def add_geometry(self, points):
        Window.shown = points

    def run(self):
        pass

    def destroy_window(self):
        pass


@pytest.fixture
def open3d_window(monkeypatch):
    monkeypatch.setattr(window, "has_display", lambda: True)
    stand_in = SimpleNamespace(
        geometry=SimpleNamespace(PointCloud=lambda xyz: SimpleNamespace(xyz=xyz)),
        utility=SimpleNamespace(Vector3dVector=np.asarray),
        visualization=SimpleNamespace(Visualizer=Window),
    )
    monkeypatch.setattr(window, "import_open3d", lambda: stand_in)
    return monkeypatch


def test_with_a_display_open3d_shows_the_classes_near_the_origin_and_no_page_is_written(open3d_window, tmp_path):
    cloud = field(classification=np.full(5000, 6, np.uint8))
    assert show_cloud(cloud, tmp_path / "a.html") is None
    assert not list(tmp_path.iterdir())
    np.testing.assert_allclose(Window.shown.xyz.mean(axis=0), 0, atol=1e-6)
    building = Legend.load("asprs_las").colors[Legend.load("asprs_las").index("building")]
    np.testing.assert_allclose(Window.shown.colors, np.tile(np.array(building) / 255, (5000, 1)))


def test_where_no_window_opens_or_open3d_is_missing_the_page_is_written(open3d_window, tmp_path):
    open3d_window.setattr(Window, "opens", False)
    assert show_cloud(field(), tmp_path / "a.html") == tmp_path / "a.html"
    open3d_window.undo()
    open3d_window.setattr(window, "has_display", lambda: True)
    open3d_window.setitem(sys.modules, "open3d", None)
    assert show_cloud(field(), tmp_path / "b.html").is_file()


def test_a_display_is_what_the_system_says(monkeypatch):
    monkeypatch.setattr(window.sys, "platform", "linux")
    for name in window.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    assert not window.has_display()
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert window.has_display()
    monkeypatch.delenv("WAYLAND_DISPLAY")
    monkeypatch.setattr(window.sys, "platform", "darwin")
    assert window.has_display()


def test_a_flight_shows_each_side_of_a_heap_from_its_own_side(tmp_path):
    from PIL import Image

    side = np.mgrid[-20:20:0.2, -20:20:0.2].reshape(2, -1).T + RNG.uniform(0, 0.1, (40_000, 2))
    z = np.maximum(6 - np.abs(side).max(axis=1), 0)
    red = (side[:, 0] > 0)[:, None]
    colour = np.where(red, (255, 0, 0), (0, 0, 255)).astype(np.uint8)
    cloud = PointCloud(np.column_stack([side, z]) + FAR, colour=colour)
    east, _, west, _ = (
        np.asarray(Image.open(path)).astype(int)
        for path in fly_around(
            cloud, tuple(FAR[:2]), tmp_path, pictures=4, radius_m=15, elevation_deg=20, size_px=(120, 80)
        )
    )
    assert east.shape == (80, 120, 3)
    below = slice(50, 80)  # in front of the heap
    assert (east[below, ..., 0] > east[below, ..., 2] + 50).mean() > 0.9
    assert (west[below, ..., 2] > west[below, ..., 0] + 50).mean() > 0.9
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"flight-{number:02d}.png" for number in range(4)]


def test_a_flight_says_where_no_point_is(tmp_path):
    with raises_naming(InputError, "within 30"):
        fly_around(field(), (0.0, 0.0), tmp_path)
    with raises_naming(InputError, "elevation_deg", "90"):
        fly_around(field(), tuple(FAR[:2]), tmp_path, elevation_deg=90)
