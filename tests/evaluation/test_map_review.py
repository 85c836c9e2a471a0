"""The review of a label raster by people: the draw, blind samples, answers, estimates, the trusted part, and two maps compared."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from geotiff import write_geotiff
from pyproj import Geod
from rasterio.transform import from_origin
from refusals import raises_naming
from scipy.stats import binomtest

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.evaluation import MapReview
from deepnets4eo.evaluation.sampled.classes import ClassMap
from deepnets4eo.evaluation.sampled.draw import draw_pixels
from deepnets4eo.evaluation.sampled.estimates import _range_text, by_area, estimate_difference
from deepnets4eo.evaluation.sampled.page import _open_images
from deepnets4eo.evaluation.sampled.trusted import trusted_classes, trusted_zone
from deepnets4eo.evaluation.sampled.zones import Zones
from deepnets4eo.grid import Grid, Window
from deepnets4eo.metrics import area_adjusted
from deepnets4eo.outputs.served_page import Answers

COVER = Legend.from_dict(
    {"name": "cover", "classes": [
        {"value": 3, "name": "field", "color": [1, 200, 1]}, {"value": 7, "name": "town", "color": [200, 1, 1]},
        {"value": 9, "name": "water", "color": [1, 1, 200]}]}
)  # fmt: skip
SHARES = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.0, 0.05, 0.95]])  # of the truth in each mapped class


def made_up_cover(seed: int = 0, size: tuple[int, int] = (1100, 300)) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a map, with rare water and a void corner, and of the truth."""
    rng = np.random.default_rng(seed)
    mapped = rng.choice(3, size, p=[0.7, 0.28, 0.02]).astype(np.uint8)
    drawn = rng.random(size)
    truth = (drawn[..., None] > SHARES[mapped].cumsum(axis=-1)).sum(axis=-1).astype(np.uint8)
    mapped[:40, :40] = 255
    return mapped, truth


def write_labels(path: Path, indices: np.ndarray, legend: Legend | None = COVER, **options) -> Path:
    tags = {"LEGEND": json.dumps(legend.to_dict())} if legend else {}
    values = COVER.from_index()[indices]
    return write_geotiff(path, values, tags=tags, nodata=255, **options)


def place_of(name: str) -> tuple[int, int]:
    row, col = (int(part.split()[1]) for part in name.split(", "))
    return row, col


def answer(
    review: MapReview, truth: np.ndarray, names: tuple[str, ...] = COVER.names, count: int | None = None
) -> None:
    """Answer points by the truth, in their order; the rest stays open."""
    answers = Answers(review.path)
    said = [(names[truth[place_of(row.id)]], row.fid) for row in answers.rows()[:count]]
    with closing(answers.open("rw")) as database, database:
        database.executemany("UPDATE sample SET answer = ? WHERE fid = ?", said)


@pytest.fixture(scope="module")
def cover(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, np.ndarray]:
    mapped, truth = made_up_cover()
    return write_labels(tmp_path_factory.mktemp("cover") / "labels.tif", mapped), mapped, truth


def test_points_are_drawn_in_every_class_none_twice_and_any_first_part_has_them_all(cover, tmp_path: Path) -> None:
    source, mapped, _ = cover
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=60, seed=3)
    places = [place_of(row.id) for row in Answers(review.path).rows()]
    assert len(set(places)) == 60
    strata = np.array([mapped[place] for place in places])
    np.testing.assert_array_equal(strata, review.about["stratum"])
    assert np.bincount(strata, minlength=4).tolist() == [
        31,
        18,
        11,
        0,
    ]  # a third of half of them each, the rest by area
    assert set(strata[:12]) == {0, 1, 2}
    assert review.about["pixels"] == np.bincount(mapped[mapped != 255], minlength=3).tolist()
    np.testing.assert_allclose(review.about["hectares"], np.array(review.about["pixels"]) / 10_000, rtol=2e-3)
    again = MapReview.draw(source, tmp_path / "b.gpkg", looks=60, seed=3)
    assert [place_of(row.id) for row in Answers(again.path).rows()] == places
    other = MapReview.draw(source, tmp_path / "c.gpkg", looks=60, seed=4)
    assert [place_of(row.id) for row in Answers(other.path).rows()] != places


def test_every_pixel_of_a_class_is_as_likely_to_be_drawn(tmp_path: Path) -> None:
    mapped = np.zeros((6, 5), np.uint8)
    mapped[2:, 1:] = 1
    classes, hits = ClassMap.open(COVER.from_index()[mapped], COVER), np.zeros(mapped.shape, int)
    for seed in range(600):
        sample = draw_pixels(classes.read, classes.grid, classes.windows, 3, lambda _: np.array([4, 5, 0]), seed)
        hits[sample.row, sample.col] += 1
    for one, drawn in ((0, 4), (1, 5)):
        counts = hits[mapped == one]
        assert counts.sum() == 600 * drawn
        share = drawn / len(counts)
        assert abs(counts / 600 - share).max() < 4 * np.sqrt(share * (1 - share) / 600)


def test_the_sample_lies_on_its_pixels_and_names_no_class_of_the_map(cover, tmp_path: Path) -> None:
    source, _, _ = cover
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=20)
    frame = gpd.read_file(review.path, layer="sample")
    row, col = place_of(frame["id"][0])
    assert frame.crs.to_epsg() == 32631
    np.testing.assert_allclose(
        frame.geometry[0].bounds, (500_000 + col, 5_000_000 - row - 1, 500_000 + col + 1, 5_000_000 - row)
    )
    assert set(frame.columns) == {"look", "id", "answer", "note", "reviewer", "geometry"}
    assert frame["answer"].isna().all()


def test_answers_give_the_estimates_of_the_stratified_sample(cover, tmp_path: Path) -> None:
    source, mapped, truth = cover
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=150)
    answer(review, truth)
    result, paths = review.write()
    table = np.zeros((4, 4), int)
    for row in Answers(review.path).rows():
        table[mapped[place_of(row.id)], truth[place_of(row.id)]] += 1
    np.testing.assert_array_equal(result.table, table)
    pixels = np.append(np.bincount(mapped[mapped != 255], minlength=3), 0)
    expected = area_adjusted(table, pixels / 10_000)
    assert result.estimate.overall_accuracy == pytest.approx(expected.overall_accuracy)
    np.testing.assert_allclose(result.estimate.area, expected.area, rtol=2e-3)
    written = json.loads(paths[0].read_text(encoding="utf-8"))
    assert (written["answers"], written["cannot_tell"], written["skipped"], written["area_unit"]) == (150, 0, 0, "ha")
    assert written["users_accuracy"]["water"] == pytest.approx(expected.users_accuracy[2])
    assert written["answers_needed"]["0.02"] > written["answers_needed"]["0.05"] > 50
    frame = gpd.read_file(paths[1])
    assert (frame.crs.to_epsg(), len(frame)) == (4326, 150)
    assert [COVER.names[mapped[place_of(name)]] for name in frame["id"]] == frame["mapped"].tolist()
    right = np.mean(frame["mapped"] == frame["answer"])
    assert right == pytest.approx(np.trace(table) / 150)
    assert len(result.lines()) == 3


@pytest.mark.core("the claim of the verb: 200 draws of a known map")
def test_intervals_hold_the_truth_of_a_known_map() -> None:
    mapped, truth = made_up_cover(1, (400, 300))
    known = mapped != 255
    area, pixels = np.bincount(truth[known], minlength=3) / known.sum(), np.bincount(mapped[known], minlength=3)
    accuracy, inside = (mapped[known] == truth[known]).mean(), []
    classes = ClassMap.open(COVER.from_index()[mapped], COVER)
    for seed in range(200):
        sample = draw_pixels(classes.read, classes.grid, classes.windows, 3, lambda _: np.array([58, 26, 16]), seed)
        table = np.zeros((3, 3), int)
        np.add.at(table, (sample.stratum, truth[sample.row, sample.col]), 1)
        estimate = area_adjusted(table, pixels / pixels.sum())
        (least, most), (low, high) = estimate.overall_accuracy_interval, estimate.area_interval.T
        inside.append([least <= accuracy <= most, *((low <= area) & (area <= high))])
    assert (np.sum(inside, axis=0) >= 180).all()


def test_rasters_of_other_tools_need_no_legend(tmp_path: Path) -> None:
    mask = np.zeros((50, 60), np.uint8)
    mask[10:20] = 255
    source = write_geotiff(tmp_path / "flood.tif", mask, crs=None)
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=30)
    assert review.names == ("class 0", "class 255")
    answer(review, (mask > 0).astype(int), review.names)
    result, paths = review.write()
    assert (result.unit, result.estimate.overall_accuracy) == ("share", 1.0)
    assert result.estimate.area[1] == pytest.approx(0.2)
    assert paths[1].suffix == ".gpkg"
    with raises_naming(InputError, "60", "heights.tif"):
        MapReview.draw(
            write_geotiff(tmp_path / "heights.tif", np.arange(3000, dtype=np.int16).reshape(50, 60)),
            tmp_path / "b.gpkg",
        )
    with raises_naming(InputError, "a.gpkg", "exists"):
        MapReview.draw(source, tmp_path / "a.gpkg")


def test_few_or_wrong_answers_are_named(cover, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, _, truth = cover
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=40)
    with raises_naming(InputError, "a.gpkg"):
        review.result()
    answer(review, truth, count=2)
    with raises_naming(InputError, "water", "2"):
        review.result()
    answer(review, truth, count=30)
    with closing(sqlite3.connect(review.path)) as database, database:
        database.execute("UPDATE sample SET answer = NULL WHERE look = 3")
        database.execute("UPDATE sample SET answer = 'cannot-tell' WHERE look = 4")
    result, paths = review.write()
    assert (result.answers, result.cannot_tell, json.loads(paths[0].read_text())["skipped"]) == (28, 1, 1)
    assert "one point was passed over" in caplog.text
    with closing(sqlite3.connect(review.path)) as database, database:
        database.execute("UPDATE sample SET answer = 'Field' WHERE look = 5")
    with raises_naming(InputError, "'Field'", "field, town, water, other, cannot-tell"):
        review.result()
    for spoilt in (source, tmp_path / "none.gpkg"):
        with raises_naming(InputError, spoilt.name):
            MapReview.open(spoilt)


def test_classes_are_trusted_by_exact_tests_corrected_for_their_number() -> None:
    area, names = np.array([50.0, 30.0, 20.0]), ("a", "b", "c")
    table = np.diag([45, 40, 30])
    p_values = [binomtest(n, n, 0.9, alternative="greater").pvalue for n in (45, 40, 30)]
    assert p_values[0] < 0.05 / 3
    assert p_values[1] < 0.05 / 2
    assert p_values[2] < 0.05
    assert trusted_classes(table, area, names)["share"] == 1
    assert (
        trusted_classes(np.diag([38, 38, 30]), area, names)["classes"] == []
    )  # 0.9 ** 38 is below 0.05, not below 0.05 / 3
    table[2] = [1, 0, 29]
    assert trusted_classes(table, area, names) == {"by": "class", "accuracy": 0.9, "share": 0.8, "classes": ["a", "b"]}


def test_a_class_that_is_right_in_ninety_per_cent_is_hardly_ever_trusted() -> None:
    rng, names = np.random.default_rng(0), tuple("abcd")
    trusted = 0
    for _ in range(500):
        right = rng.binomial(60, 0.9, 4)
        table = np.diag(right)
        table[np.arange(4), (np.arange(4) + 1) % 4] = 60 - right
        trusted += bool(trusted_classes(table, np.ones(4), names)["classes"])
    assert trusted <= 35  # 5 % of 500, and two standard errors


def test_the_surest_zone_is_trusted_down_to_where_it_fails(cover, tmp_path: Path) -> None:
    source, mapped, truth = cover
    sure = np.where(mapped == truth, 0.9, 0.3) + np.random.default_rng(0).random(mapped.shape) * 0.1
    confidence = write_geotiff(tmp_path / "sure.tif", sure.astype(np.float32))
    review = MapReview.draw(source, tmp_path / "a.gpkg", looks=300, confidence=confidence)
    answer(review, truth)
    trusted = review.result().trusted
    assert trusted["by"] == "confidence"
    assert 0.7 <= trusted["share"] <= 0.9 + 1e-9
    zone = (mapped != 255) & (sure >= trusted["confidence"])
    assert zone.sum() / (mapped != 255).sum() == pytest.approx(trusted["share"], abs=0.01)
    with raises_naming(InputError, "small.tif"):
        MapReview.draw(
            source, tmp_path / "b.gpkg", confidence=write_geotiff(tmp_path / "small.tif", np.ones((5, 5), np.float32))
        )


def test_zones_in_degrees_count_the_ground_and_not_pixels(tmp_path: Path) -> None:
    """Surest is the north, whose pixels at 60 to 70 degrees are smaller than those at 40 to 50."""
    transform = from_origin(10, 70, 1, 1)
    labels = write_geotiff(
        tmp_path / "l.tif",
        np.full((30, 30), 3, np.uint8),
        tags={"LEGEND": json.dumps(COVER.to_dict())},
        crs="EPSG:4326",
        transform=transform,
    )
    sure = np.where(np.arange(30) < 15, 0.9, 0.3)[:, None] * np.ones(30)
    confidence = write_geotiff(tmp_path / "c.tif", sure.astype(np.float32), crs="EPSG:4326", transform=transform)
    classes = ClassMap.open(labels)
    sample = draw_pixels(classes.read, classes.grid, classes.windows, 3, lambda pixels: np.array([10, 0, 0]), 0)
    zones = Zones.measure(confidence, classes, sample)
    north, south = (shapely.box(10, low, 40, low + 15) for low in (55, 40))
    area = [
        abs(Geod(ellps="WGS84").geometry_area_perimeter(shapely.segmentize(part, 0.1))[0]) for part in (north, south)
    ]
    first, *_, every = zones.areas(np.array([1.0, 0.0, 0.0, 0.0]))
    assert first[0] == pytest.approx(area[0] / sum(area), rel=2e-3)
    assert every[0] == pytest.approx(1)


def test_zones_are_trusted_in_turn_and_none_after_the_first_that_fails() -> None:
    good, bad = np.diag([40, 40]), np.array([[20, 20], [20, 20]])
    area = np.array([1.0, 1.0])
    answers = [good, good + bad, 5 * good + bad]
    areas = [area, 2 * area, 3 * area]
    assert trusted_zone(answers, areas, [0.9, 0.5, 0.1])["share"] == pytest.approx(1 / 3)
    assert trusted_zone([good, 2 * good, 3 * good], areas, [0.9, 0.5, 0.1]) == {
        "by": "confidence", "accuracy": 0.9, "share": 1.0, "confidence": 0.1,
    }  # fmt: skip
    few = np.diag([10, 10])
    assert trusted_zone([few, good, bad], areas, [0.9, 0.5, 0.1])["share"] == pytest.approx(2 / 3)


def test_two_maps_are_compared_where_they_differ(cover, tmp_path: Path) -> None:
    source, mapped, truth = cover
    better = np.where(np.random.default_rng(1).random(mapped.shape) < 0.5, truth, mapped)
    better[mapped == 255] = 255
    other = write_labels(tmp_path / "better.tif", better)
    review = MapReview.draw_differences(source, other, tmp_path / "a.gpkg", looks=50)
    places = [place_of(row.id) for row in Answers(review.path).rows()]
    assert all(mapped[place] != better[place] for place in places)
    answer(review, truth)
    result, paths = review.write()
    assert (result.first, result.second, result.neither) == (0, 50, 0)
    assert result.share == pytest.approx((mapped != better).sum() / (mapped != 255).sum())
    assert result.p_value == pytest.approx(2 * 0.5**50)
    known = mapped != 255
    gap = (mapped == truth)[known].mean() - (better == truth)[known].mean()
    assert result.low - 1e-9 <= gap <= result.high
    assert "second map is better" in result.headline()
    frame = gpd.read_file(paths[1])
    assert (frame["mapped_b"] == frame["answer"]).all()
    with raises_naming(InputError, "labels.tif"):
        MapReview.draw_differences(source, source, tmp_path / "b.gpkg")
    with raises_naming(InputError, "small.tif"):
        MapReview.draw_differences(source, write_labels(tmp_path / "small.tif", mapped[:50]), tmp_path / "b.gpkg")


def test_the_exact_test_and_the_interval_of_a_difference() -> None:
    same = estimate_difference(6, 6, 3, 0, 0.2)
    assert (same.p_value, same.difference) == (1.0, 0.0)
    assert same.low == pytest.approx(-same.high)
    assert estimate_difference(9, 1, 0, 0, 1.0).p_value == pytest.approx(22 / 1024)
    rng, inside, rejected = np.random.default_rng(0), 0, 0
    for _ in range(400):
        first, second, neither = rng.multinomial(60, [0.45, 0.35, 0.2])
        result = estimate_difference(first, second, neither, 0, 0.1)
        inside += result.low <= 0.01 <= result.high
        rejected += estimate_difference(*rng.multinomial(60, [0.4, 0.4, 0.2]), 0, 0.1).p_value < 0.05
    assert inside >= 370
    assert rejected <= 28
    with raises_naming(InputError, "no point"):
        estimate_difference(0, 0, 0, 3, 0.1)


@pytest.mark.core("one job per verb")
def test_the_verbs_draw_count_and_compare(cover, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, mapped, truth = cover
    source = write_labels(tmp_path / "labels.tif", mapped)
    assert main(["review", str(source), "--looks", "90"]) == 0
    path = tmp_path / "labels_review.gpkg"
    drawn = capsys.readouterr()
    assert drawn.out.strip() == str(path)
    assert f" review {source} --image IMAGE --serve`" in drawn.err
    answer(MapReview.open(path), truth)
    assert main(["review", str(source)]) == 0
    printed = capsys.readouterr()
    assert printed.out.split() == [
        str(tmp_path / "labels_review.json"),
        str(tmp_path / "labels_review_answers.geojson"),
    ]
    assert "of the map is right" in printed.err
    assert "water: " in printed.err
    other = write_labels(tmp_path / "truth.tif", np.where(mapped == 255, 255, truth).astype(np.uint8))
    sample = tmp_path / "differences.gpkg"
    assert main(["compare", str(source), str(other), "--sample", "40", "--out", str(sample)]) == 0
    answer(MapReview.open(sample), truth)
    assert main(["review", str(sample)]) == 0
    assert "the second map is better" in capsys.readouterr().err
    assert main(["compare", str(source), str(other), "--sample", "40", "--out", str(sample)]) == 1
    assert main(["compare", str(source), str(other), "--sample", "40", "--out", str(tmp_path / "x")]) == 2
    assert main(["review", str(source), "--update"]) == 2
    assert "--update is only for damage maps" in capsys.readouterr().err
    assert main(["review", str(source), "--serve", "--no-browser"]) == 2
    assert "--image" in capsys.readouterr().err
    assert main(["review", str(tmp_path), "--image", str(source)]) == 2


def test_answers_within_a_class_weigh_as_much_as_their_pixels_in_degrees(tmp_path: Path) -> None:
    """Of 80 degrees of latitude, what is north of 60 has an eighth of the ground in a quarter of the pixels."""
    mapped = np.zeros((160, 90), np.uint8)
    truth = np.where(np.arange(160)[:, None] < 40, 2, 0) + mapped
    where = {"crs": "EPSG:4326", "transform": Affine(0.5, 0, 0, 0, -0.5, 80)}
    review = MapReview.draw(write_labels(tmp_path / "a.tif", mapped, **where), tmp_path / "s.gpkg", looks=1200)
    answer(review, truth)
    result = review.result()
    north = np.sin(np.radians(80)) - np.sin(np.radians(60))
    share = north / np.sin(np.radians(80))
    area = result.estimate.area / result.estimate.area.sum()
    assert area[2] == pytest.approx(share, abs=0.01)  # a quarter if pixels were alike
    low, high = result.estimate.area_interval[2] / result.estimate.area.sum()
    assert low < share < high
    assert result.table.sum() == result.answers == 1200
    other = write_labels(tmp_path / "b.tif", truth.astype(np.uint8), **where)
    difference = MapReview.draw_differences(tmp_path / "a.tif", other, tmp_path / "d.gpkg", looks=50)
    answer(difference, truth)
    shown = difference.result()
    assert (shown.first, shown.second) == (0, 50)
    assert shown.share == pytest.approx(share, abs=0.001)
    assert shown.difference == pytest.approx(-share, abs=0.001)


def test_pixels_of_equal_area_leave_the_counts_of_answers() -> None:
    pairs = np.array([[0, 0], [0, 1], [0, 0], [1, 1], [1, 1]])
    expected = [[2, 1, 0], [0, 2, 0], [0, 0, 0]]
    np.testing.assert_allclose(by_area(pairs, np.full(5, 0.3), 3), expected)
    np.testing.assert_array_equal(by_area(pairs, None, 3), expected)
    uneven = by_area(pairs, np.array([1.0, 3.0, 1.0, 5.0, 1.0]), 3)
    assert uneven[0, 1] / uneven[0].sum() == pytest.approx(0.6)
    assert uneven[0].sum() == pytest.approx(25 / 11)  # (1 + 3 + 1)² / (1 + 9 + 1)
    assert uneven[1, 1] == 2  # as few as there are


def test_a_map_without_pixels_and_classes_that_are_answers_give_no_sample(tmp_path: Path) -> None:
    empty = write_labels(tmp_path / "empty.tif", np.full((8, 8), 255, np.uint8))
    with rasterio.open(empty, "r+") as file:
        file.write(np.full((1, 8, 8), 255, np.uint8))  # indices of classes would be values of the legend
    with raises_naming(InputError, "no pixel can be drawn"):
        MapReview.draw(empty, tmp_path / "sample.gpkg", looks=4)
    legend = Legend.from_dict(
        COVER.to_dict()
        | {
            "classes": [
                entry | {"name": "other"} if entry["name"] == "town" else entry for entry in COVER.to_dict()["classes"]
            ]
        }
    )
    with raises_naming(InputError, "'other'", "Rename it"):
        MapReview.draw(
            write_labels(tmp_path / "map.tif", np.zeros((8, 8), np.uint8), legend), tmp_path / "sample.gpkg", looks=4
        )


@pytest.mark.parametrize(
    ("images", "crs", "words"),
    [
        ([{}] * 3, "EPSG:32631", "got 3 images"),
        ([{"crs": None}], "EPSG:32631", "has no CRS, the map has one"),
        ([{}], None, "has a CRS, the map has none"),
        ([{"origin": (600_000, 5_000_000)}], "EPSG:32631", "does not show the map"),
        ([{"origin": (500_000, 5_100_000)}], "EPSG:32631", "does not show the map"),
        ([{"origin": (499_980, 5_000_000)}], "EPSG:32631", "does not show the map"),
    ],
    ids=["three", "no CRS", "a CRS", "east", "north", "west"],
)  # fmt: skip
def test_images_that_do_not_show_the_points_are_refused(
    images: list[dict[str, Any]], crs: str | None, words: str, tmp_path: Path
) -> None:
    paths = [
        write_geotiff(tmp_path / f"{number}.tif", np.ones((16, 16), np.uint8), **how)
        for number, how in enumerate(images)
    ]
    points = gpd.GeoDataFrame(geometry=[shapely.Point(500_004, 4_999_990)], crs=crs)
    with pytest.raises(InputError, match=words):
        _open_images(paths, points)
    two = [write_geotiff(tmp_path / f"{name}.tif", np.ones((16, 16), np.uint8)) for name in ("pre", "post")]
    placed = points.set_crs("EPSG:32631", allow_override=True)
    assert [list(_open_images(two[:count], placed)) for count in (1, 2)] == [["image"], ["pre", "post"]]


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE sample SET geom = NULL WHERE look = 1", "rows without an outline"),
        ("DROP TABLE sample", "is no whole sample"),
    ],
)
def test_a_sample_without_outlines_is_refused(statement: str, words: str, tmp_path: Path) -> None:
    mapped, _ = made_up_cover(size=(60, 60))
    review = MapReview.draw(write_labels(tmp_path / "map.tif", mapped), tmp_path / "sample.gpkg", looks=6)
    assert len(Answers(review.path).frame()) == 6
    with closing(sqlite3.connect(review.path)) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
    with raises_naming(InputError, "sample.gpkg", words):
        Answers(review.path).frame()


def test_a_share_that_is_not_known_has_no_interval_in_words() -> None:
    assert _range_text(0.5, np.array([0.4, 0.62])) == "50% (40%–62%)"
    assert _range_text(float("nan"), np.array([0.0, 1.0])) == "unknown share"


@pytest.mark.parametrize(("difference", "weighed"), [(0.0005, False), (0.0015, True)])
def test_pixels_whose_areas_differ_by_a_thousandth_count_by_their_area(difference: float, weighed: bool) -> None:
    """Two rows of pixels at 45° north, where the width of a degree falls by as many radians as one goes north."""
    step = np.degrees(difference)
    grid = Grid((2, 3), Affine(0.01, 0, 10, 0, -step, 45 + step), "EPSG:4326")
    strata = np.zeros((2, 3), np.uint8)
    sample = draw_pixels(
        lambda window: strata[window.slices], grid, [Window(0, 0, 2, 3)], 1, lambda _: np.array([6]), 0
    )
    assert (sample.areas is not None) is weighed
    if sample.areas is not None:
        low, high = sample.areas.min(), sample.areas.max()
        assert high / low - 1 == pytest.approx(difference, rel=0.05)
        assert (sample.areas == low).tolist() == (sample.row == 0).tolist()
