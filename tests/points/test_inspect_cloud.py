"""`check` says what a file of points is and what is wrong with it."""

from pathlib import Path

import laspy
import numpy as np
import pytest
from made_up_clouds import ORIGIN, scattered, write_las

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.inspection import inspect


def test_a_sound_file_has_facts_and_no_problem(tmp_path: Path) -> None:
    xyz = np.round(
        np.stack(np.meshgrid(np.arange(0, 20, 0.5), np.arange(0, 20, 0.5), [0.0]), -1).reshape(-1, 3) + ORIGIN, 2
    )
    path = write_las(tmp_path / "a.laz", xyz, colours=np.full((len(xyz), 3), 99, np.uint16))
    result = inspect(str(path))
    assert (result.kind, result.problems) == ("points", [])
    assert result.facts["points"] == "1,600"
    assert result.facts["CRS"] == "EPSG:2154 RGF93 v1 / Lambert-93"
    assert result.facts["density"] == "4.0 points/m² on 400 m² with points"
    assert result.facts["colours"] == "100.0% of the points, 8-bit values in 16-bit fields"
    assert result.facts["classes"] == "2 ground 33.4%, 5 high vegetation 33.3%, 6 building 33.3%"
    assert result.facts["extra dimensions"] == "deviation"
    assert result.facts["format"] == "LAS 1.4, point format 8"


def test_codes_that_a_legend_maps_to_a_class_or_void_have_its_name(tmp_path: Path) -> None:
    path = write_las(tmp_path / "a.las", scattered(80))
    cloud = laspy.read(path)
    cloud.classification = np.repeat(np.array([0, 2, 4, 5, 200], np.uint8), 16)
    cloud.write(path)
    result = inspect(str(path), legend=Legend.load("ign_lidar_hd"))
    assert (
        result.facts["classes"]
        == "0 void 20.0%, 2 ground 20.0%, 4 vegetation 20.0%, 5 vegetation 20.0%, 200 unknown 20.0%"
    )
    assert [problem for problem in result.problems if "codes" in problem] == [
        "codes 200 are not in the legend ign_lidar_hd. Choose another legend."
    ]


def test_problems_name_their_remedy(tmp_path: Path) -> None:
    xyz = scattered(300)
    xyz[:5] = xyz[5]
    xyz[9, 2] = 20_000
    problems = " ".join(inspect(str(write_las(tmp_path / "a.las", xyz, crs=None))).problems)
    assert "no CRS; coordinates are read as metres. Name it where it is known: --crs" in problems
    assert "5 points lie where another one does." in problems
    assert "heights leave −500 to 9,000 m" in problems
    elsewhere = inspect(str(write_las(tmp_path / "b.las", scattered(50), crs="EPSG:28992"))).problems
    assert any("outside the area of Amersfoort / RD New" in problem for problem in elsewhere)
    degrees = inspect(str(write_las(tmp_path / "c.las", scattered(50) * 1e-6, crs="EPSG:4326", scale=1e-7))).problems
    assert any("in degrees, or of no known kind; expected a projected CRS" in problem for problem in degrees)
    assert not any("lie where another one does" in problem for problem in degrees)


def test_codes_are_compared_with_a_legend(tmp_path: Path) -> None:
    path = str(write_las(tmp_path / "a.las", scattered(30)))
    for legend in (None, Legend.load("semantic3d")):  # 2, 5 and 6 are codes of both
        assert not any("not in the legend" in text for text in inspect(path, legend).problems)
    (tmp_path / "b.pts").write_text("".join(f"{k} {k} 0 5 1 1 {k % 9}\n" for k in range(50)))
    result = inspect(str(tmp_path / "b.pts"), Legend.load("us3d"))
    assert any("codes 0, 1, 3, 4, 7, 8 are not in the legend us3d" in text for text in result.problems)


def test_empty_and_foreign_files_are_unreadable_or_a_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.laz").write_bytes(b"no LAS" * 100)
    (tmp_path / "b.e57").write_bytes(b"ASTM-E57")
    (tmp_path / "c.xyz").write_text("")
    assert inspect(str(tmp_path / "c.xyz")).problems == ["it has no points."]
    assert main(["check", str(tmp_path / "a.laz"), str(tmp_path / "b.e57")]) == 2
    printed = capsys.readouterr().out
    assert "is no LAS or LAZ file: it does not begin with LASF" in printed
    assert "is an E57 file, which is not read here. Convert it: pdal translate" in printed


@pytest.mark.real_data
def test_real_files_are_described(real_data: Path) -> None:
    result = inspect(str(real_data / "ign_lidar_hd" / "test_data_77055_627760_LA93_IGN69.laz"))
    assert result.facts["points"] == "60,653"
    assert result.facts["colours"].startswith("none (an orthophoto gives them")
    feet = inspect(str(real_data / "autzen" / "autzen_trim.las"))
    assert feet.facts["unit"].startswith("0.3048 m in x and y, 0.3048 m in z")
    assert feet.facts["centre"].startswith("longitude -123.0")
    wrong = inspect(str(real_data / "autzen" / "lone-star.copc.laz"))
    assert any("geocentric" in problem for problem in wrong.problems)


@pytest.mark.parametrize(
    ("codes", "legend", "noise"),
    [((7, 2, 18), None, 200), ((7, 2, 2), None, 100), ((2, 2, 6), None, 0), ((7, 2, 18), "asprs_las", 0)],
)
def test_noise_is_counted_where_no_legend_says_what_its_codes_are(tmp_path: Path, codes, legend, noise: int) -> None:
    path = write_las(tmp_path / "a.las", scattered(300))
    cloud = laspy.read(path)
    cloud.classification = np.array(codes, np.uint8)[np.arange(300) % 3]
    cloud.write(path)
    problems = inspect(str(path), legend=None if legend is None else Legend.load(legend)).problems
    noted = [problem for problem in problems if "classified as noise" in problem]
    assert [problem.split(" are ")[0] for problem in noted] == ([f"{noise} points"] if noise else [])
