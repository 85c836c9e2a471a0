"""Bad files of points end in an error that names the file, what was expected and what to do."""

from contextlib import nullcontext
from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import NeighbourCount, scattered, write_las
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.inspection import inspect
from deepnets4eo.points import LabelOptions, label_cloud, labeller, open_cloud
from deepnets4eo.points.features import RuleLabeller
from deepnets4eo.points.files.cloud_file import check_no_degrees

PLY = "ply\nformat {} 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nproperty {}\nend_header\n"


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.97])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = write_las(tmp_path / f"a{suffix}", scattered(3000))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(InputError, match=rf"a\{suffix}.*(truncated or damaged\. Copy or download it again|is no LAS)"):
        open_cloud(path).read()
    with pytest.raises(InputError, match="truncated|is no LAS"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.laz")
    assert not (tmp_path / "out.laz").exists()


def test_a_file_without_points_is_refused(tmp_path: Path) -> None:
    header = laspy.LasHeader(version="1.4", point_format=6)
    laspy.LasData(header).write(tmp_path / "a.las")
    with raises_naming(InputError, "a.las"):
        open_cloud(tmp_path / "a.las").read()
    with pytest.raises(InputError, match="has no points"):
        label_cloud(tmp_path / "a.las", NeighbourCount(), tmp_path / "out.laz")


@pytest.mark.parametrize("text", ["", "x y z\n"])
def test_text_without_points_is_refused_for_what_it_is(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xyz").write_text(text)
    with pytest.raises(InputError, match=r"a\.xyz has no points\. Give a file with points"):
        label_cloud(tmp_path / "a.xyz", NeighbourCount(), tmp_path / "out.laz")


def test_points_on_one_spot_are_labelled(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.laz", np.repeat(scattered(1), 300, axis=0))
    assert label_cloud(path, NeighbourCount(), tmp_path / "out.laz").points == 300


def test_points_a_continent_apart_are_refused(tmp_path: Path) -> None:
    xyz = scattered(50)
    xyz[3, 0] += 4_000_000
    with raises_naming(InputError, "4", "000", "0", "1"):
        label_cloud(write_las(tmp_path / "a.laz", xyz), NeighbourCount(), tmp_path / "out.laz")


def test_an_intensity_of_nothing_but_nan_is_not_measured(tmp_path: Path) -> None:
    (tmp_path / "a.xyz").write_text("x y z intensity\n1 2 3 nan\n4 5 6 nan\n")
    (tmp_path / "b.xyz").write_text("x y z intensity\n1 2 3 nan\n4 5 6 8\n")
    assert open_cloud(tmp_path / "a.xyz").read().intensity is None
    assert open_cloud(tmp_path / "b.xyz").read().intensity.tolist() == [0, 8]


PCD = "VERSION 0.7\nFIELDS {}\nSIZE 4 4 4\nTYPE F F F\nWIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA {}\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xyz", "1 2 3\n4 5\n", "no text of points|not finite numbers"),
        ("a.xyz", "1 2 3\n4 nan 6\n", "1 of 2 points have coordinates that are not finite numbers"),
        ("a.xyz", "1 2 3\n4 word 6\n", "is no text of points"),
        ("a.xyz", "1 2\n3 4\n", r"has 2 columns without names, expected 3, 4, 6, 7\. Name them"),
        ("a.xyz", "north east up\n3 4 5\n", "expected x, y and z among them"),
        ("a.xyz", "x y z class\n1 2 3 300\n", "values of classification are not whole numbers 0–255, such as 300"),
        ("a.xyz", "\x00\xff\n", "could not be read|without names"),
        ("a.ply", "solid cube\n", r"is no PLY file: it begins with b'solid cu'"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 2\nend_header\n", "has no points|cannot be read"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 2\n", "its header has no end"),
        ("a.ply", PLY.format("ascii", "list uchar int n") + "1 2 3 0\n", "properties that are no numbers"),
        ("a.ply", PLY.format("ascii", "float i") + "1 2 3 0\n", "holds fewer than the 2 points"),
        ("a.ply", PLY.format("ascii", "float i") + "1 2 3 0\n1 2 3\n", "cannot be read"),
        ("a.ply", PLY.format("binary_little_endian", "float i") + "1 2 3 0\n", "holds fewer than the 2 points"),
        ("a.pcd", "VERSION .7\nFIELDS x\n", "is no PCD file: its header has no line DATA"),
        ("a.pcd", PCD.format("x y z", "ascii") + "1 2 3\n", "holds fewer than the 2 points"),
        ("a.pcd", PCD.format("x y z", "binary") + "1 2 3\n", "holds fewer than the 2 points"),
        ("a.pcd", PCD.format("x y z", "binary_compressed") + "\x05\0\0\0\x18\0\0\0", "holds fewer than the 2 points"),
        ("a.pcd", PCD.format("x y z", "binary_compressed") + "\x02\0\0\0\x18\0\0\0\xff\xff", "holds fewer than"),
        ("a.pcd", PCD.format("x y z", "zipped") + "1 2 3\n", "expected the fields x, y and z, and DATA ascii"),
        ("a.pcd", PCD.format("x y h", "ascii") + "1 2 3\n", "got x y h, and DATA ascii"),
        ("a.pcd", PCD.format("x y x", "ascii") + "1 2 3\n", "describes no fields of numbers"),
        ("a.pcd", PCD.format("x y z", "ascii").replace("F F F", "F F") + "1 2 3\n", "describes no fields of numbers"),
        ("a.pcd", PCD.format("x y z", "ascii").replace("4 4 4", "4 4 3") + "1 2 3\n", "describes no fields of numbers"),
        ("a.pcd", PCD.format("x y z", "ascii") + "nan 1 2\n1 nan 2\n", "has no point that counts: all 2 are withheld"),
        ("a.xyzrgb", "1 2 3 0 0 1\n1 2 3 7 8 9\n", "has colours from 0 to 9; expected 0–1"),
        ("a.e57", "ASTM-E57", "is an E57 file, which is not read here. Convert it: pdal translate"),
        ("a.obj", "v 0 0 0", r"is no file of points that is known here\. Known are \.las, \.laz, \.ply"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message) as caught:
        open_cloud(path).read()
    assert name in str(caught.value)


def test_labels_beside_must_be_as_many_as_points(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("1 2 3 4 5 6 7\n" * 5)
    for count in (4, 6):
        (tmp_path / "a.labels").write_text("1\n" * count)
        with pytest.raises(InputError, match=rf"a\.labels has (at least )?{count} labels for 5 points"):
            open_cloud(tmp_path / "a.txt").read()


def test_a_missing_file_and_a_wrong_crs_are_named(tmp_path: Path) -> None:
    with raises_naming(InputError, "nowhere.laz"):
        open_cloud(tmp_path / "nowhere.laz")
    path = write_las(tmp_path / "a.las", scattered(5))
    with raises_naming(InputError, "EPSG:0", "EPSG:2154"):
        open_cloud(path, crs="EPSG:0")
    with raises_naming(InputError, "pred_class"):
        open_cloud(path, classes="pred_class")
    with pytest.raises(InputError, match="EPSG:4326|WGS 84"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.laz", LabelOptions(crs="EPSG:4326"))


DEGREES = np.random.default_rng(0).uniform([2, 48, 0], [2.001, 48.001, 10], (500, 3))


@pytest.mark.parametrize("wide", [1, 50])  # thousandths of a degree
def test_degrees_without_a_crs_are_refused_with_their_values(tmp_path: Path, wide: int) -> None:
    xyz = (DEGREES - [2, 48, 0]) * [wide, wide, 1] + [2, 48, 0]
    path = write_las(tmp_path / "a.las", xyz, crs=None, scale=1e-7)
    message = (
        r"a\.las has no CRS, and its coordinates look like degrees: x 2.* to 2\.0.*, y 48.* to 48\.0.*expected metres"
    )
    with pytest.raises(InputError, match=rf"{message}.*pdal translate .*in_srs=EPSG:4326.*--crs \(crs=\)"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.laz")
    described = inspect(str(path))
    assert any("its coordinates look like degrees" in problem for problem in described.problems)
    assert "x 2.0000" in described.facts["bounds"]
    assert label_cloud(path, NeighbourCount(), tmp_path / "out.laz", LabelOptions(crs="EPSG:2154")).points == 500


@pytest.mark.parametrize(
    ("size", "corner", "refused"),
    [
        ((2, 1, 201), (19, 0), True),  # over ten widths from the origin, at heights over a hundred widths apart
        ((2, 1, 201), (18, 0), False),
        ((1, 2, 201), (0, 19), True),
        ((2, 1, 200), (19, 0), False),
        ((2, 1, 201), (178.5, 0), False),  # beyond 180 degrees
        ((2, 1, 201), (19, 89.5), False),  # beyond 90 degrees
        ((2, 1, np.inf), (19, 0), False),
        ((0, 0, 201), (19, 0), False),
    ],
)
def test_bounds_are_degrees_far_from_the_origin_and_much_higher_than_wide(size, corner, refused: bool) -> None:
    low = np.array([*corner, 100.0])
    with raises_naming(InputError, "a.las") if refused else nullcontext():
        check_no_degrees(np.stack([low, low + size]), "a.las")


@pytest.mark.parametrize(
    ("size", "corner"),
    [
        ((0.1, 0.1, 0.1), (2, 48, 0)),  # a cup in the coordinates of a site
        ((0.3, 0.3, 25), (2, 48, 0)),  # a trunk there
        ((0.01, 0.01, 3), (-0.005, -0.005, 0)),  # a wire in coordinates of its own
        ((40, 40, 12), (0, 0, 0)),
        ((0, 0, 5), (2, 48, 0)),
    ],
)
def test_small_clouds_without_a_crs_are_taken_for_metres(tmp_path: Path, size, corner) -> None:
    xyz = np.random.default_rng(0).random((50, 3)) * size + corner
    np.savetxt(tmp_path / "a.xyz", xyz, fmt="%.6f")
    assert open_cloud(tmp_path / "a.xyz").read().xyz == pytest.approx(xyz, abs=1e-5)


def test_a_dimension_of_the_same_name_and_another_type_is_refused(tmp_path: Path) -> None:
    cloud = laspy.read(write_las(tmp_path / "a.las", scattered(5)))
    cloud.add_extra_dim(laspy.ExtraBytesParams("entropy", "float32"))
    cloud.write(tmp_path / "b.las")
    with raises_naming(InputError, "b.las", "float32", "uint8"):
        label_cloud(tmp_path / "b.las", NeighbourCount(), tmp_path / "out.laz")


def test_models_that_label_no_points_are_refused(tmp_path: Path) -> None:
    with raises_naming(InputError, "nothing_like_it"):
        labeller.load_labeller("nothing_like_it")
    with raises_naming(InputError, "card.json"):
        labeller.load_labeller(tmp_path)
    (tmp_path / "card.json").write_text('{"kind": "pixel-classifier"}')
    with pytest.raises(InputError, match="is a run of the kind pixel-classifier, which labels no points"):
        labeller.load_labeller(tmp_path)


def test_labellers_are_made_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Entry:
        """Stands in for an entry point."""

        name, value, group = "of_tests", "of_tests:labeller", "deepnets4eo.point_labellers"

        def load(self):
            return lambda folder=None: NeighbourCount() if folder is None or folder == tmp_path else None

    monkeypatch.setattr(labeller, "plugins_of", lambda group: {"rules": Entry(), "snapnet": Entry()})
    assert isinstance(labeller.load_labeller("rules").labeller, NeighbourCount)
    (tmp_path / "card.json").write_text('{"kind": "network"}')
    (tmp_path / "recipe.yaml").write_text("task: snapnet\n")
    assert isinstance(labeller.load_labeller(tmp_path).labeller, NeighbourCount)


@pytest.mark.parametrize("suffix", [".las", ".laz"])
@pytest.mark.parametrize("at", [26, 58])  # system identifier, generating software
def test_texts_of_a_header_that_are_no_ascii_are_kept(tmp_path: Path, suffix: str, at: int) -> None:
    path = write_las(tmp_path / f"a{suffix}", scattered(50))
    data = bytearray(path.read_bytes())
    data[at] = 0xB1
    path.write_bytes(data)
    out = tmp_path / f"out{suffix}"
    assert label_cloud(path, NeighbourCount(), out).points == 50
    assert out.read_bytes()[26:90] == bytes(data[26:90])


@pytest.mark.parametrize(
    ("at", "value", "message"),
    [
        (24, 0, r"a\.las names the LAS version 0\.2, expected 1\.0 to 1\.5"),
        (24, 5, r"names the LAS version 5\.2, expected 1\.0 to 1\.5"),
        (25, 9, r"names the LAS version 1\.9, expected 1\.0 to 1\.5"),
        (25, 5, r"names the LAS version 1\.5, whose header has at least 393 bytes, and a header of 227"),
        (104, 6, r"names the LAS version 1\.2, and point format 6, which came with LAS 1\.4"),
    ],
)
def test_versions_that_there_are_not_are_named(tmp_path: Path, at: int, value: int, message: str) -> None:
    path = write_las(tmp_path / "a.las", scattered(50), version="1.2", point_format=1)
    data = bytearray(path.read_bytes())
    data[at] = value
    path.write_bytes(data)
    with pytest.raises(InputError, match=message):
        label_cloud(path, NeighbourCount(), tmp_path / "out.las")


def test_las_1_0_is_labelled_and_becomes_1_2(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las", scattered(50), version="1.2", point_format=1)
    data = bytearray(path.read_bytes())
    data[25] = 0
    path.write_bytes(data)
    assert label_cloud(path, NeighbourCount(), tmp_path / "out.las").points == 50
    assert str(laspy.read(tmp_path / "out.las").header.version) == "1.2"


@pytest.mark.parametrize(("at", "value"), [(155, 1e308), (131, 1e9), (155, float("inf")), (131, float("nan"))])
def test_scales_and_offsets_of_no_place_are_refused_despite_honest_looking_bounds(
    tmp_path, at: int, value: float
) -> None:
    path = write_las(tmp_path / "a.las", scattered(50))
    data = bytearray(path.read_bytes())
    data[at : at + 8] = np.array([value], "<f8").tobytes()
    path.write_bytes(data)
    with raises_naming(InputError, "a.las", "1e", "10"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.las")
    with raises_naming(InputError, "a.las", "50"):
        open_cloud(path).read()
    assert any("expected finite numbers up to" in problem for problem in inspect(str(path)).problems)


def test_points_far_apart_are_refused_despite_honest_looking_bounds(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las", scattered(50))
    data = bytearray(path.read_bytes())
    data[131:139] = np.array([1e4], "<f8").tobytes()  # the x scale: a million times as wide
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.las spans 3\d,\d+ × 0 × 0 km; expected at most 1,000 km"):
        label_cloud(path, NeighbourCount(), tmp_path / "out.las")


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("\tx\ty\tz\n0\t1\t2\t3\n1\t4\t5\t6\n", None),  # pandas, with its index
        ('"x" "y" "z"\n"1" 1 2 3\n"2" 4 5 6\n', None),  # R, with its row names
        ("x;y;z\n1;2;3\n4;5;6;7\n", None),
        ("1 2 3 4\n5 6 7 8\n", "x y z"),
        ("1 2 3\n" * 2000 + "4 5 6 7\n", None),
    ],
)
def test_lines_with_more_fields_than_columns_are_refused(tmp_path: Path, text: str, columns: str | None) -> None:
    (tmp_path / "a.txt").write_text(text)
    with raises_naming(InputError, "a.txt", "3"):
        open_cloud(tmp_path / "a.txt", columns=columns).read()


@pytest.mark.parametrize(
    "text", [",x,y,z\n0,1,2,3\n1,4,5,6\n", "x,,y,z,\n1,9,2,3,\n4,9,5,6,\n", '"";"x";"y";"z"\n"a";1;2;3\n"b";4;5;6\n']
)
def test_columns_without_a_name_keep_their_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text)
    assert open_cloud(tmp_path / "a.txt").read().xyz.tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(("kind", "codes"), [("int16", [2, 258]), ("int16", [2, -1]), ("float32", [2, 2.5])])
def test_codes_in_a_dimension_of_las_are_whole_numbers_0_to_255(tmp_path: Path, kind: str, codes: list[float]) -> None:
    cloud = laspy.LasData(laspy.LasHeader(point_format=6, version="1.4"))
    cloud.add_extra_dim(laspy.ExtraBytesParams("pred_class", kind))
    cloud.x, cloud.y, cloud.z = np.arange(6.0).reshape(3, 2)
    cloud.pred_class = np.array(codes, kind)
    cloud.write(tmp_path / "a.las")
    message = f"1 values of the dimension pred_class are not whole numbers 0–255, such as {codes[1]}"
    with pytest.raises(InputError, match=message):
        open_cloud(tmp_path / "a.las", classes="pred_class").read()


def _cloud_of(path: Path, xyz: np.ndarray, **measured: np.ndarray) -> Path:
    """A file of points with scales of 1 cm."""
    header = laspy.LasHeader(point_format=6, version="1.4")
    header.scales, header.offsets = [0.01] * 3, xyz.min(axis=0)
    cloud = laspy.LasData(header)
    cloud.x, cloud.y, cloud.z = xyz.T
    for name, values in measured.items():
        cloud[name] = values
    cloud.write(str(path))
    return path


GROUND = np.column_stack([*np.divmod(np.arange(400.0), 20), np.zeros(400)])


@pytest.mark.parametrize("none", [-9999, -32768])
def test_heights_that_mean_none_are_refused_before_they_become_the_ground(tmp_path: Path, none: float) -> None:
    low = GROUND.copy()
    low[::50, 2] = none
    path = _cloud_of(tmp_path / "a.las", low)
    with raises_naming(InputError, "a.las", f"height {none}", "which means none", "pdal translate"):
        open_cloud(path).check_extent()
    open_cloud(_cloud_of(tmp_path / "b.las", GROUND - [0, 0, 9.0])).check_extent()


def test_points_that_are_all_in_one_plane_of_a_damaged_scale_are_refused(tmp_path: Path) -> None:
    path = _cloud_of(tmp_path / "a.las", GROUND * [0, 1, 1] + [5, 0, 0])
    with raises_naming(InputError, "a.las", "the same x, 5", "scales"):
        open_cloud(path).check_extent()
    for few in (GROUND[:1], np.repeat(GROUND[:1], 3, axis=0)):  # one place only: nothing is known of its scales
        open_cloud(_cloud_of(tmp_path / "b.las", few)).check_extent()


@pytest.mark.parametrize(
    ("first", "count", "words"),
    [
        (0, 0, "has no return numbers"),
        (5, 1, "100% of the return numbers"),
        (0, 3, "has no return numbers"),
        (1, 1, ""),
        (2, 3, ""),
    ],
)
def test_rules_name_a_file_whose_return_numbers_are_missing_or_wrong(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, first: int, count: int, words: str
) -> None:
    numbers = {"return_number": np.full(400, first), "number_of_returns": np.full(400, count)}
    RuleLabeller().check_values(open_cloud(_cloud_of(tmp_path / "a.las", GROUND, **numbers)))
    assert bool(caplog.messages) == bool(words)
    assert words in caplog.text
