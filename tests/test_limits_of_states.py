"""Counts, positions and groups from their first value on: progress of steps, remote files, moved tiles, sites of files, drawn differences."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from affine import Affine
from geotiff import write_geotiff
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.damage.products import shown_again
from deepnets4eo.damage.products.exchange_formats import _rank_words
from deepnets4eo.evaluation import MapReview
from deepnets4eo.files import write_json
from deepnets4eo.floods.recognition import Recognition, RecognitionRules
from deepnets4eo.formats import remote_file
from deepnets4eo.formats.remote_file import RANGE_BYTES, RemoteFile
from deepnets4eo.grid import Grid
from deepnets4eo.inspection.files import Inspection
from deepnets4eo.inspection.overlap import _by_site, _sites
from deepnets4eo.interferometry.job import _Work
from deepnets4eo.jobs import records
from deepnets4eo.metrics import area_adjusted
from deepnets4eo.osm import pbf
from deepnets4eo.outputs.served_page import Answers
from deepnets4eo.points.rubble.epochs import with_walls
from deepnets4eo.rasters import mosaic, overlaid_tiles
from deepnets4eo.registration.matchers import _nearest_pairs

UTM = "EPSG:32633"


def test_progress_counts_from_the_first_step_and_ends_at_1() -> None:
    shares: list[float] = []
    work = _Work(shares.append, 4)
    for _ in range(5):
        work.step()
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0]
    _Work(None, 4).step()


def test_positions_in_a_remote_file_are_from_its_beginning_or_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    content = np.random.default_rng(0).bytes(2 * RANGE_BYTES + 100)
    asked: list[str] = []

    class Answer:
        status = 206

        def __init__(self, begin: int) -> None:
            self.begin = begin

        def __enter__(self) -> Answer:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, size: int) -> bytes:
            return content[self.begin : self.begin + size]

    class Session:
        def __init__(self, address: str, most: int) -> None:
            assert most == 32 * RANGE_BYTES

        def open(self, _: str, *, headers: dict[str, str], most_bytes: int) -> Answer:
            asked.append(headers["Range"])
            assert most_bytes == RANGE_BYTES
            return Answer(int(headers["Range"].partition("=")[2].partition("-")[0]))

    monkeypatch.setattr(remote_file, "Session", Session)
    file = RemoteFile("https://server/a.laz")
    assert (file.seek(7), file.tell(), file.read(3), file.tell()) == (7, 7, content[7:10], 10)
    assert (file.seek(5, 1), file.read(2), file.seek(-4, 1)) == (15, content[15:17], 13)
    assert file.seek(RANGE_BYTES - 2) == RANGE_BYTES - 2
    assert file.read(4) == content[RANGE_BYTES - 2 : RANGE_BYTES + 2], "of two ranges"
    file.seek(len(content) - 3)
    assert (file.read(10), file.tell()) == (content[-3:], len(content))
    assert asked == [f"bytes={number * RANGE_BYTES}-{(number + 1) * RANGE_BYTES - 1}" for number in range(3)]
    with pytest.raises(OSError, match="in parts"):
        file.read()


def test_a_header_takes_at_most_32_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(status=206, read=lambda _: bytes(RANGE_BYTES))

    class Opened:
        def __enter__(self) -> Any:
            return answer

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(remote_file, "Session", lambda *_: SimpleNamespace(open=lambda *_, **__: Opened()))
    file = RemoteFile("https://server/a.laz")
    file._parts = {number: bytes(RANGE_BYTES) for number in range(31)}
    file.seek(31 * RANGE_BYTES)
    assert len(file.read(1)) == 1
    file.seek(32 * RANGE_BYTES)
    with pytest.raises(OSError, match="more than 32 ranges"):
        file.read(1)


@pytest.mark.parametrize(
    ("state", "of"),
    [
        (None, None),
        (("a", 10, "", ""), None),
        (("a", 10, "tag", "day"), [10, "tag"]),
        (("a", 10, "", "day"), [10, "day"]),
    ],
)
def test_a_file_on_a_server_is_known_by_size_and_tag_or_day(
    state: Any, of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "file_state", lambda _: state)
    assert records._remote_state("https://server/a.tif") == (records.UNKNOWN if of is None else records._hash(of))


@pytest.mark.parametrize(("offset", "named"), [(0.05, None), (0.051, (0.05, 1)), (-0.5, (0.5, 1)), (7.75, (0.25, 1))])
def test_tiles_moved_by_more_than_a_twentieth_of_a_pixel_are_counted(
    offset: float, named: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiles: Any = [SimpleNamespace(path=f"{number}.tif") for number in range(3)]
    said: list[Any] = []
    monkeypatch.setattr(mosaic, "_warn_of_move", lambda *words: said.append(words))
    mosaic._name_moved_tiles(tiles, [(0, 0), (offset, 3.0), (0.05, 5.0)])
    assert said == ([] if named is None else [("1.tif", "0.tif", named[0], 0.0, named[1], 3)])


def tile(path: str, name: str | None, bands: int = 1) -> Any:
    return SimpleNamespace(path=path, names=(name,) * bands, dtypes=("uint16",) * bands)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        (tile("a_B02.tif", None), tile("a_B03.tif", None), ("b02", "b03")),
        (tile("1.tif", "VV"), tile("2.tif", "VH"), ("vv", "vh")),
        (tile("a_north.tif", None), tile("a_B03.tif", None), ()),
        (tile("a_B02.tif", None, 3), tile("a_B03.tif", None, 3), ()),
        (tile("a_B02.tif", None), tile("b_B02.tif", None), ()),
    ],
)
def test_files_of_one_band_that_differ_by_the_name_of_a_band_are_bands(
    first: Any, second: Any, names: tuple[str, ...]
) -> None:
    assert overlaid_tiles._other_bands(first, second) == names


def file_at(name: str, col: float, crs: str | None = UTM, gsd: float = 10.0) -> Inspection:
    return Inspection(name, "raster", grid=GeoBox((10, 10), Affine(gsd, 0, 5e5 + col, 0, -gsd, 4e6), crs))


@pytest.mark.parametrize(("apart", "sites"), [(100, 1), (109, 1), (111, 2), (-111, 2)])
def test_files_within_a_pixel_of_each_other_are_of_one_site(apart: float, sites: int) -> None:
    found = _sites([file_at("a", 0), file_at("b", apart)])
    assert len(found) == sites
    assert [[item.path for item in site] for site in _sites([file_at("a", 0)])] == [["a"]]


def test_many_files_of_which_none_has_a_crs_are_counted() -> None:
    plain = [Inspection(f"{number}.png", "raster", grid=Grid((9, 9 + number), Affine.identity(), None)) for number in range(8)]  # fmt: skip
    (line,), (problem, *_) = _by_site(plain).lines, [*_by_site(plain).problems, None]
    assert line.startswith("8 files without a position: 0.png")
    assert problem is None


def test_sites_of_several_crs_are_compared_in_degrees_and_the_largest_comes_first() -> None:
    far = file_at("far", 50_000)
    degrees = Inspection("d", "raster", grid=GeoBox((10, 10), Affine(1e-4, 0, 15.0, 0, -1e-4, 36.1445), "EPSG:4326"))
    found = [[item.path for item in site] for site in _sites([far, file_at("a", 0), degrees])]
    assert found == [["a", "d"], ["far"]]


LEGEND = Legend.from_dict(
    {"name": "two", "classes": [{"value": 1, "name": "field", "color": [1, 200, 1]}, {"value": 2, "name": "town", "color": [200, 1, 1]}]}
)  # fmt: skip


def test_pixels_without_a_class_in_either_map_are_no_difference(tmp_path: Path) -> None:
    first, second = np.ones((2, 1, 8, 8), np.uint8)
    first[0, 0], second[0, 1], second[0, 2, :3] = VOID, VOID, 2
    paths = [write_geotiff(tmp_path / f"{name}.tif", values, nodata=VOID) for name, values in (("a", first), ("b", second))]  # fmt: skip
    review = MapReview.draw_differences(*paths, tmp_path / "r.gpkg", looks=50, legend=LEGEND)
    assert sorted(row.id for row in Answers(review.path).rows()) == [
        "row 2, column 0",
        "row 2, column 1",
        "row 2, column 2",
    ]


def test_limits_of_a_share_are_wilsons_of_the_size_with_the_variance_of_one_further_sample() -> None:
    """Two strata of half of the map each, 10 of 10 and 5 of 10 right; one further sample spread over the classes."""
    found = area_adjusted([[10, 0], [5, 5]], [1.0, 1.0])
    assert found.overall_accuracy == 0.75
    shares = np.array([10.5 / 11, 5.5 / 11])
    variance = (0.25 * shares * (1 - shares) / 9).sum()
    p, z = shares.mean(), 1.959963984540054
    n = p * (1 - p) / variance
    middle = (0.75 + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * np.sqrt(0.75 * 0.25 / n + z * z / (4 * n * n))
    assert found.overall_accuracy_interval == pytest.approx([middle - reach, middle + reach])
    assert found.overall_accuracy_margin == pytest.approx(z * np.sqrt(0.25 * 0.25 / 9))


def test_only_rasters_of_evidence_that_the_map_had_are_shown_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "map"
    folder.mkdir()
    inputs = {f"ev_{name}": {"path": f"{name}.tif"} for name in ("change", "tiles_0", "tiles_1", "gone")}
    for name in ("change", "tiles_0", "tiles_1"):
        (tmp_path / f"{name}.tif").touch()
    evidence = {"change": {}, "tiles": {}, "points": {}, "gone": {}}
    write_json(folder / "manifest.json", {"inputs": inputs, "outputs": [], "parameters": {"evidence": evidence}})
    write_json(folder / "summary.json", {"findings": [], "registration": {}})
    monkeypatch.setattr(shown_again.ShownClouds, "of_map", lambda *_, **__: None)

    class Evidence:
        def __init__(self, name: str, files: Any) -> None:
            self.text = name, [Path(file).stem for file in ([files] if isinstance(files, str) else files)]

        def open(self, _: object) -> Any:
            return self.text

    monkeypatch.setattr(shown_again, "RasterEvidence", Evidence)
    pair: Any = SimpleNamespace(post=SimpleNamespace(grid=None))
    found = shown_again.shown_rasters(folder, "water.tif", pair)
    assert found == [("change", ["change"]), ("tiles", ["tiles_0", "tiles_1"])]  # type: ignore[comparison-overlap]
    (message,) = caplog.messages
    assert message.startswith("report.html shows one layer less. gone.tif")


@pytest.mark.parametrize(
    ("new", "shares"), [(0, (0.2, 0.0)), (40, (0.2, 0.04)), (2000, None)], ids=["no new water", "little", "much"]
)
def test_receded_and_new_water_are_shares_of_the_pixels_seen(new: int, shares: Any) -> None:
    found = Recognition(seen=1000, known=200, receded=200, new=new).order_finding()
    assert [(one.values["dried"], one.values["flooded"]) for one in found] == ([] if shares is None else [shares])


def test_each_limit_of_receded_water_counts() -> None:
    rules, seen = RecognitionRules, 100_000
    much = int(rules.min_receded_share * seen)
    per_new = rules.min_receded_per_new
    assert Recognition(seen=seen, receded=much).order_finding()
    assert not Recognition(seen=seen, receded=much - 1).order_finding()
    assert Recognition(seen=seen, receded=int(per_new * 1000) + much * 10, new=1000).order_finding()
    assert not Recognition(seen=seen, receded=2 * much, new=int(2 * much / per_new) + 1).order_finding()
    assert not Recognition(seen=seen, receded=much, muddy="found").order_finding()
    assert not Recognition().order_finding()


@pytest.mark.parametrize(("grades", "more"), [(None, ""), ("", ""), ("minor,major", " Not excluded: minor, major.")])
def test_a_ranked_building_names_the_grades_that_are_not_excluded(grades: str | None, more: str) -> None:
    text = _rank_words(3.0, 80, grades)
    assert text == f"Damaged or not is not known. Rank 3 of 80 by probable damage.{more}"


def test_descriptors_match_if_each_is_the_others_nearest_and_they_are_alike_enough() -> None:
    first = torch.tensor([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0, 0, 0.75]])
    second = torch.tensor([[0.5, 0, 0], [0, 0.625, 0], [0, 0, 1.0]])
    sides: Any = [SimpleNamespace(descriptors=side) for side in (first, second)]
    assert _nearest_pairs(*sides, min_cosine=0.5).tolist() == [[1, 1], [2, 2]]
    assert _nearest_pairs(*sides, min_cosine=0.49).tolist() == [[0, 0], [1, 1], [2, 2]]


def blob(kind: bytes, content: bytes) -> bytes:
    """A block of a file of OpenStreetMap, unpacked: its header has the kind (1) and the size (3) of the blob, with content (1)."""
    blob = b"\x0a" + bytes([len(content)]) + content
    header = b"\x0a" + bytes([len(kind)]) + kind + b"\x18" + bytes([len(blob)])
    return len(header).to_bytes(4, "big") + header + blob


@pytest.mark.parametrize(("most", "refused"), [(100, False), (99, True)])
def test_a_file_of_openstreetmap_unpacks_to_a_limit(
    most: int, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pbf, "MIN_UNPACKED_BYTES", most)
    monkeypatch.setattr(pbf, "MAX_RATIO", 0)
    path = tmp_path / "a.osm.pbf"
    path.write_bytes(blob(b"OSMHeader", bytes(90)) + blob(b"OSMData", b"a" * 60) + blob(b"OSMData", b"b" * 40))
    if refused:
        with pytest.raises(ValueError, match="unpacks to more than"):
            list(pbf.read_blocks(path))
    else:
        assert list(pbf.read_blocks(path)) == [b"a" * 60, b"b" * 40]


@pytest.mark.parametrize(("spacing_m", "jump_m", "levels"), [(0.5, 5.0, 10), (0.5, 2.5, 5), (2.0, 3.0, 2), (0.25, 9.0, 12), (0.5, 2.0, 0)])  # fmt: skip
def test_walls_have_a_point_for_each_spacing_between_two_and_twelve(
    spacing_m: float, jump_m: float, levels: int
) -> None:
    rows, cols = np.mgrid[:9, :9]
    tops = np.column_stack([spacing_m * cols.ravel(), spacing_m * rows.ravel(), np.full(81, 3.0)])
    tops[40, 2] += jump_m
    found = with_walls(tops)
    assert found.spacing_m == pytest.approx(spacing_m)
    wall = found.xyz[found.wall]
    np.testing.assert_allclose(wall[:, 2], 3 + jump_m * (np.arange(levels) + 0.5) / max(levels, 1))
    away = np.hypot(*(wall[:, :2] - tops[40, :2]).T)
    assert ((away >= spacing_m / 2 - 1e-9) & (away <= spacing_m * np.sqrt(0.5) + 1e-9)).all()
