"""`deepnets4eo compare`: maps of several tools read to the same grades, matched, counted, and written with a version."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import Transformer
from refusals import raises_naming
from sklearn.metrics import cohen_kappa_score

from deepnets4eo.cli.main import main
from deepnets4eo.damage import GRADES
from deepnets4eo.damage.comparison import compare_maps, read_damage_map, write_comparison
from deepnets4eo.damage.comparison.maps import OneMap
from deepnets4eo.damage.comparison.scales import TWO, read_grades
from deepnets4eo.errors import InputError

COUNT = 120
RNG = np.random.default_rng(0)
TRUTH = RNG.integers(0, 4, COUNT)
CRS = "EPSG:32631"


def outlines(shift: float = 0, size: float = 10) -> list[shapely.Geometry]:
    """Houses 25 m apart in rows of twelve."""
    return [
        shapely.box(x := 500_000 + 25 * (i % 12) + shift, y := 5_000_000 - 25 * (i // 12), x + size, y + size)
        for i in range(COUNT)
    ]


def written(path: Path, shapes: list[shapely.Geometry] | None = None, crs: str = CRS, **columns: object) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=outlines() if shapes is None else shapes, crs=CRS).to_crs(crs)
    if path.suffix == ".parquet":
        frame.rename_geometry("shape").to_parquet(path)
    else:
        frame.to_file(path, layer="buildings")
    return path


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A map of this toolbox; the last two buildings have no grade."""
    status = ["assessed"] * (COUNT - 2) + ["not_assessed"] * 2
    damage = [GRADES[grade] for grade in TRUTH[:-2]] + [None, None]
    prob = np.append(TRUTH[:-2] / 3, [np.nan, np.nan])
    return written(
        tmp_path / "ours.gpkg", id=[f"h{i}" for i in range(COUNT)], damage=damage, damage_prob=prob, status=status
    )


def test_a_map_of_microsoft_is_matched_by_overlap_and_counted_in_two_classes(ours: Path, tmp_path: Path) -> None:
    other = (TRUTH >= 2).astype(int)
    other[:10] = 1 - other[:10]
    unknown = np.zeros(COUNT)
    unknown[20:25] = 0.9
    order = RNG.permutation(COUNT)
    shapes = outlines(shift=3)  # in another order, numbered by row as haste does, and on other outlines
    theirs = written(
        tmp_path / "haste.gpkg", [shapes[i] for i in order], "EPSG:4326", id=[f"h{i}" for i in range(COUNT)],
        damaged=other[order], damage_pct_0m=other[order].astype(float), unknown_pct=unknown[order],
    )  # fmt: skip
    comparison = compare_maps(read_damage_map(ours), read_damage_map(theirs))
    assert (comparison.matched_by, comparison.classes) == ("overlap", TWO)
    both = np.ones(COUNT, bool)
    both[20:25] = both[-2:] = False
    expected = pd.crosstab(TRUTH[both] >= 2, other[both] == 1).to_numpy()
    np.testing.assert_array_equal(comparison.matrix.matrix, expected)
    assert comparison.matrix.kappa == pytest.approx(cohen_kappa_score(TRUTH[both] >= 2, other[both]))
    assert comparison.shares == (pytest.approx((TRUTH[both] >= 2).mean()), pytest.approx(other[both].mean()))
    kappa = comparison.intervals["kappa"]
    assert kappa.low < kappa.estimate < kappa.high
    assert set(comparison.table["id_a"][:10]) == {f"h{i}" for i in range(10)}  # where they differ comes first
    first = comparison.table[:10]
    damaged_a, difference = first["damaged_a"].to_numpy(), first["difference"].to_numpy()
    assert damaged_a.tolist() == sorted(damaged_a, reverse=True), "damaged only in A, then only in B, as the page says"
    for only in (1, 0):
        assert (np.diff(difference[damaged_a == only]) <= 0).all(), "then by the difference"
    assert set(comparison.table["damage_a"].dropna()) == set(GRADES)
    assert set(comparison.table["damage_b"].dropna()) == set(TWO)


def test_maps_of_four_grades_are_matched_by_id_and_compared_in_four(ours: Path, tmp_path: Path) -> None:
    grades = np.where(np.arange(COUNT) < 30, (TRUTH + 1) % 4, TRUTH)
    xbd = written(
        tmp_path / "xbd.geojson",
        crs="EPSG:4326",
        uid=[f"h{i}" for i in range(COUNT)],
        subtype=[GRADES[i] for i in grades],
    )
    comparison = compare_maps(read_damage_map(ours), read_damage_map(xbd))
    assert (comparison.matched_by, comparison.classes) == ("id", GRADES)
    np.testing.assert_array_equal(comparison.matrix.matrix, pd.crosstab(TRUTH[:-2], grades[:-2]).to_numpy())


@pytest.mark.parametrize(
    ("columns", "how", "tool"),
    [
        ({"damage_gra": ["No visible damage", "Possibly damaged", "Damaged", "Destroyed"]}, {}, "Copernicus EMS"),
        ({"dmg": [1, 2, 3, 4]}, {"grade": "dmg", "scale": "xview2"}, "other tool"),
        ({"State": ["No Damage", "minor damage", "Severe damage", "destroyed"]}, {"grade": "State"}, "other tool"),
    ],
)
def test_four_grades_are_read_in_the_words_of_others(tmp_path: Path, columns, how, tool: str) -> None:
    repeated = {name: values * (COUNT // 4) for name, values in columns.items()}
    read = read_damage_map(written(tmp_path / "a.gpkg", **repeated), **how)
    assert (read.tool.name, read.two) == (tool, False)
    assert read.table["grade"][:4].tolist() == [0, 1, 2, 3]
    assert read.table["damaged"][:4].tolist() == [0, 0, 1, 1]


def test_codes_of_unosat_run_from_destroyed_to_no_damage(ours: Path, tmp_path: Path) -> None:
    codes = np.array([6, 4, 2, 1])[TRUTH]  # of no, minor, major damage and destroyed, as `--also unosat` writes them
    points = [shape.centroid for shape in outlines()]
    theirs = written(tmp_path / "unosat.gpkg", points, Main_Damage_Site_Class=codes)
    for how in ({}, {"grade": "Main_Damage_Site_Class"}):
        comparison = compare_maps(read_damage_map(ours), read_damage_map(theirs, **how))
        np.testing.assert_array_equal(comparison.matrix.matrix, np.diag(np.bincount(TRUTH[:-2])))


def test_words_of_unosat_in_its_column_of_codes_are_read_like_the_codes(tmp_path: Path) -> None:
    words = ["No Visible Damage", "Possible Damage", "Moderate Damage", "Severe Damage", "Destroyed", "3"]
    path = written(tmp_path / "a.gpkg", outlines()[:6], Main_Damage_Site_Class=words)
    assert read_damage_map(path).table["grade"].tolist() == [0, 1, 2, 2, 3, 2]


@pytest.mark.parametrize("name", ["nowhere.gpkg", "nowhere.gpkg#buildings", "folder/damage"])
def test_a_map_that_does_not_exist_is_called_a_map(name: str, tmp_path: Path) -> None:
    with raises_naming(InputError, f"damage map {tmp_path / name} does not exist"):
        read_damage_map(tmp_path / name)


@pytest.mark.parametrize("codes", [[1, 2, 3, 4], [1, 2, 4, 6], [0, 1, 2, 3, 4, 5], [1, 1]])
def test_numbers_without_a_scale_are_refused(codes: list[int], tmp_path: Path) -> None:
    path = written(tmp_path / "a.gpkg", outlines()[: len(codes)], code=codes)
    with pytest.raises(InputError, match="numbers whose scale is not stated: .*scale=xview2"):
        read_damage_map(path, grade="code")


def test_a_stated_scale_covers_all_words_or_is_refused(tmp_path: Path) -> None:
    words = ["Affected", "Minor", "Major", "Destroyed", "Inaccessible"]
    path = written(tmp_path / "fema.gpkg", outlines()[:5], state=words)
    scale = "Affected=no-damage,minor=minor-damage,Major=major-damage,Destroyed=destroyed"
    with pytest.raises(InputError, match=r"no grades of the stated scale: inaccessible \(1\)"):
        read_damage_map(path, grade="state", scale=scale)
    read = read_damage_map(path, grade="state", scale=f"{scale},Inaccessible=none").table["grade"]
    np.testing.assert_array_equal(read, [0, 1, 2, 3, np.nan])
    for wrong in ("fema", "Affected=little", "=destroyed"):
        with raises_naming(InputError, "xview2", wrong):
            read_damage_map(path, grade="state", scale=wrong)


def test_skai_has_a_score_and_numbers_have_a_threshold(tmp_path: Path) -> None:
    score = RNG.random(COUNT)
    path = written(tmp_path / "skai.gpkg", building_id=range(COUNT), plus_code="x", score=score, damaged=score > 0.7)
    read = read_damage_map(path)
    assert read.tool.name == "SKAI"
    np.testing.assert_allclose(read.table["value"], score)
    np.testing.assert_array_equal(read.table["grade"] == 1, score > 0.7)
    np.testing.assert_array_equal(read_damage_map(path, grade="score", above=0.4).table["grade"] == 1, score > 0.4)


def test_a_table_of_skai_is_points_in_degrees_and_words_have_no_threshold(ours: Path, tmp_path: Path) -> None:
    middles = gpd.GeoSeries(outlines(), crs=CRS).centroid.to_crs(4326)
    cells = {"building_id": "x", "longitude": middles.x, "latitude": middles.y, "plus_code": "x", "score": TRUTH / 3}
    path = tmp_path / "inference.csv"
    pd.DataFrame(cells | {"damaged": TRUTH > 1}).to_csv(path, index=False)
    comparison = compare_maps(read_damage_map(ours), read_damage_map(path))
    assert (comparison.matrix.kappa, comparison.matrix.total, comparison.matched_by) == (1, COUNT - 2, "overlap")
    cells["geometry"] = [shape.wkt for shape in outlines()]  # as in Open Buildings, which are more than points
    pd.DataFrame(cells | {"damaged": TRUTH > 1}).to_csv(tmp_path / "outlines.csv", index=False)
    assert set(read_damage_map(tmp_path / "outlines.csv").table.geom_type) == {"Polygon"}
    with raises_naming(InputError, "'plus_code'"):
        read_damage_map(path, grade="plus_code", above=0.5)


def test_maps_of_the_same_outlines_in_pixels_and_in_metres_are_refused(tmp_path: Path) -> None:
    """A map with another --gsd lies elsewhere, and its outlines would meet those of other buildings."""
    near = [shapely.transform(shape, lambda xy: xy - [500_000, 5_000_000]) for shape in outlines()]
    ids, damage = [f"h{i}" for i in range(COUNT)], np.array(GRADES)[TRUTH]

    def read(name: str, shapes: list[shapely.Geometry]) -> OneMap:
        columns = {"id": ids, "damage": damage, "damage_prob": TRUTH / 3, "status": "assessed"}
        gpd.GeoDataFrame(columns, geometry=shapes).to_file(tmp_path / name)
        return read_damage_map(tmp_path / name)

    pixels, same = read("px.gpkg", near), read("same.gpkg", near)
    assert compare_maps(pixels, same).matrix.kappa == 1
    half = [shapely.transform(shape, lambda xy: xy * [0.5, -0.5]) for shape in near]
    with raises_naming(InputError, "m.gpkg are 0.5 times", "same --gsd"):
        compare_maps(pixels, read("m.gpkg", half))


def test_rows_without_geometry_are_left_out_and_crossing_outlines_mended(ours: Path, tmp_path: Path) -> None:
    bow = shapely.Polygon([(500_000, 5_000_000), (500_010, 5_000_010), (500_010, 5_000_000), (500_000, 5_000_010)])
    theirs = written(tmp_path / "odd.parquet", [bow, None, outlines()[7]], id=["h0", "h1", "h7"], state=["yes"] * 3)
    comparison = compare_maps(read_damage_map(ours), read_damage_map(theirs, grade="state"))
    assert comparison.matched_by == "id"  # the column called id, unless another is named
    assert set(comparison.table.loc[comparison.table["match"] == "both", "id_a"]) == {"h0", "h7"}


def test_points_within_outlines_match_and_what_is_in_one_map_alone_is_kept(ours: Path, tmp_path: Path) -> None:
    points = [shape.centroid for shape in outlines()[:50]] + [shapely.Point(600_000, 5_000_000)]
    theirs = written(tmp_path / "points.gpkg", points, state=["yes"] * 51)
    comparison = compare_maps(read_damage_map(ours), read_damage_map(theirs, grade="state"))
    assert comparison.table["match"].value_counts().to_dict() == {"a": 70, "both": 50, "b": 1}
    assert comparison.table.geometry.notna().all()


def test_one_outline_over_two_houses_is_matched_once(ours: Path, tmp_path: Path) -> None:
    large = shapely.box(500_000, 5_000_000, 500_036, 5_000_010)
    theirs = written(tmp_path / "large.gpkg", [large, outlines()[5]], state=["yes", "no"])
    comparison = compare_maps(read_damage_map(ours), read_damage_map(theirs, grade="state"))
    assert comparison.matrix.total == 2


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"state": ["good"] * COUNT}, "is of no known tool"),
        ({"damage_gra": ["good"] * COUNT}, "holds no grades: good"),
        ({"subtype": [0, 1, 2, 3] * (COUNT // 4)}, r"holds no grades: 0 \(30\), 1 \(30\), 2"),
        (
            {"damage_gra": ["Destroyed"] * 60 + ["G4", "affected"] * 30},
            r"2 values that are no grades of .*: affected \(30\), g4 \(30\)",
        ),
        (
            {"Main_Damage_Site_Class": [1, 2, 4, 6, 5, 11] * (COUNT // 6)},
            r"no grades of UNOSAT .*: 11 \(20\), 5 \(20\)",
        ),
        ({"damage_gra": [""] * COUNT}, "holds no grades: "),
        ({"subtype": []}, "has no building with a geometry"),
    ],
)
def test_columns_that_say_nothing_of_damage_are_refused(tmp_path: Path, columns, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_damage_map(written(tmp_path / "a.gpkg", outlines()[: len(next(iter(columns.values())))], **columns))


def test_maps_of_other_ground_are_refused(ours: Path, tmp_path: Path) -> None:
    far = written(tmp_path / "far.gpkg", outlines(shift=9_000), state=["yes"] * COUNT)
    with pytest.raises(InputError, match="no building to compare: no outlines match"):
        compare_maps(read_damage_map(ours), read_damage_map(far, grade="state"))


def test_the_verb_writes_page_table_and_figures_with_a_version(ours: Path, tmp_path: Path, capsys) -> None:
    theirs = written(tmp_path / "<b>.gpkg", state=np.where(TRUTH > 1, "yes", "no"))
    words = ["compare", str(theirs), str(ours), "--out", str(tmp_path / "out"), "--json", "-"]
    assert main(words) == 2
    assert "Give it as the second map and name its column of damage: --set grade=COLUMN" in capsys.readouterr().err
    words[1:3] = words[2:0:-1]
    assert main([*words, "--set", "grade=state"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures == json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8"))
    assert (figures["format"], figures["format_version"]) == ("deepnets4eo damage comparison", "1.0")
    assert figures["kappa"]["estimate"] == 1
    assert figures["buildings"] == {"both": COUNT, "a_alone": 0, "b_alone": 0, "compared": COUNT - 2}
    table = gpd.read_file(tmp_path / "out" / "comparison.gpkg")
    assert len(table) == len(pd.read_csv(tmp_path / "out" / "comparison.csv")) == COUNT
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "<b>.gpkg" not in page
    assert "default-src 'none'" in page
    assert str(tmp_path) not in page, "files are named without folders"


@pytest.mark.parametrize("column", ["geometry", "", "shape", "missing"])
@pytest.mark.parametrize("key", ["grade", "id"])
def test_a_column_that_is_no_property_is_refused_in_one_line(
    key: str, column: str, ours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = written(tmp_path / "other.parquet", damage=[GRADES[grade] for grade in TRUTH])
    words = ["compare", str(ours), str(other), "--out", str(tmp_path / "out"), "--set", "grade=damage"]
    assert main([*words, "--set", f"{key}={column}"]) == 2
    error = capsys.readouterr().err
    assert f"has no column {column!r}, only damage. Name one of them." in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("values", [[[1, 2]], [pd.Timestamp("2020-01-01")], [{"a": 1}], [b"x"], [10**400]])
def test_values_that_are_no_grades_are_refused_by_name(values: list[object], tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"state": pd.Series(values * 3, dtype=object)}, geometry=outlines()[:3], crs=CRS)
    with pytest.raises(InputError, match="holds no grades|holds no numbers"):
        read_grades(frame["state"], "x.gpkg, column 'state',")


def test_outlines_that_lie_nowhere_are_left_out_and_counted(
    ours: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shapes = [*outlines()[:-2], shapely.Polygon([(0, 0), (np.nan, 0), (1, 1)]), shapely.Point(np.inf, 1)]
    other = written(tmp_path / "other.parquet", shapes, damage=[GRADES[grade] for grade in TRUTH])
    comparison = compare_maps(read_damage_map(ours), read_damage_map(other, grade="damage"))
    assert comparison.matrix.total == COUNT - 2
    assert comparison.matrix.overall_accuracy == 1
    assert "2 buildings of" in caplog.text
    assert np.isfinite(comparison.table[["x", "y"]].to_numpy()).all()


def test_infinite_longitudes_of_a_table_are_left_out(ours: Path, tmp_path: Path) -> None:
    middles = gpd.GeoSeries(outlines(), crs=CRS).centroid.to_crs(4326)
    table = pd.DataFrame({"longitude": middles.x, "latitude": middles.y, "damaged": (TRUTH >= 2).astype(int)})
    table["score"], table["plus_code"] = table["damaged"].astype(object), "x"
    table.loc[:3, "longitude"] = np.inf
    table.loc[5, "score"] = "much"
    table.to_csv(tmp_path / "skai.csv", index=False)
    comparison = compare_maps(read_damage_map(ours), read_damage_map(tmp_path / "skai.csv"))
    assert comparison.matrix.total == COUNT - 2 - 4
    table["longitude"] = np.inf
    table.to_csv(tmp_path / "skai.csv", index=False)
    with pytest.raises(InputError, match="has no building with a geometry"):
        read_damage_map(tmp_path / "skai.csv")


LOCAL = 'LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize("crs", [CRS, None, LOCAL])
def test_each_building_has_its_place_in_degrees_or_as_its_maps_state_it_without_a_crs(
    crs: str | None, tmp_path: Path
) -> None:
    frame = gpd.GeoDataFrame(
        {"id": [f"h{i}" for i in range(COUNT)], "state": ["yes", "no"] * (COUNT // 2)}, geometry=outlines(), crs=crs
    )
    frame.to_file(tmp_path / "a.gpkg")
    read = read_damage_map(tmp_path / "a.gpkg", grade="state")
    table = compare_maps(read, read).table.set_index("id_a").loc[frame["id"]]
    middles = 500_005 + 25 * (np.arange(COUNT) % 12), 5_000_005 - 25 * (np.arange(COUNT) // 12)
    expected = middles if crs in (None, LOCAL) else Transformer.from_crs(crs, 4326, always_xy=True).transform(*middles)
    np.testing.assert_allclose(table[["x", "y"]].to_numpy().T, expected, rtol=0, atol=1e-5)
    assert write_comparison(compare_maps(read, read), tmp_path / "out")[0].is_file()


def test_a_map_without_a_place_is_not_compared_with_one_on_the_earth(tmp_path: Path) -> None:
    state = ["yes", "no"] * (COUNT // 2)
    for name, crs in (("a", CRS), ("b", LOCAL)):
        gpd.GeoDataFrame({"state": state}, geometry=outlines(), crs=crs).to_file(tmp_path / f"{name}.gpkg")
    first, second = (read_damage_map(tmp_path / f"{name}.gpkg", grade="state") for name in "ab")
    for maps in ((first, second), (second, first)):
        with pytest.raises(InputError, match="place on the Earth"):
            compare_maps(*maps)
