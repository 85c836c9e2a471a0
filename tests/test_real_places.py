"""Real places: images and references on one grid, scores that match a second computation, tables that say what is missing."""

from functools import partial
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from sklearn.metrics import cohen_kappa_score, jaccard_score

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"

import real_places  # noqa: E402
from places import building_scores, damage_scores, results  # noqa: E402
from places.before_after import before_after_table, store_building_scores, store_scores  # noqa: E402
from places.building_scores import BuildingMap, score_buildings  # noqa: E402
from places.command_line import image_file  # noqa: E402
from places.damage_scores import DamageCase, at_half, intervals_of, map_of, ranges_of, scores_of  # noqa: E402
from places.working_grid import CRS, SourceImage, on_working_grid, regions_of  # noqa: E402

from deepnets4eo.cards import VOID  # noqa: E402
from deepnets4eo.damage import Settings, assess  # noqa: E402
from deepnets4eo.damage.table.probabilities import adjust_to_share  # noqa: E402
from deepnets4eo.errors import InputError  # noqa: E402
from deepnets4eo.files import read_json, write_json  # noqa: E402
from deepnets4eo.rasters import Layer  # noqa: E402
from deepnets4eo.synthetic import City  # noqa: E402


def square_source(side_m: float = 0.25) -> SourceImage:
    """A building of 10 × 15 m, white, in the middle of a dark image of 40 m; one corner unknown."""
    size = round(40 / side_m)
    mask = np.zeros((size, size), np.uint8)
    mask[round(15 / side_m) : round(25 / side_m), round(10 / side_m) : round(25 / side_m)] = 1
    bands = np.repeat(np.where(mask == 1, 200, 20)[None], 3, axis=0).astype(np.uint8)
    mask[: round(5 / side_m), : round(5 / side_m)] = VOID
    return SourceImage(bands, (side_m, side_m), mask)


@pytest.mark.parametrize("side_m", [0.1, 0.25, 0.5, 1.0])
def test_a_building_keeps_its_size_on_the_working_grid(side_m: float) -> None:
    scene = on_working_grid(square_source(side_m), 0.5)
    assert scene.image.shape == (3, 80, 80)
    assert (scene.reference == 1).sum() * 0.25 == pytest.approx(150, abs=8)
    assert (scene.reference == VOID).sum() * 0.25 == pytest.approx(25, abs=3)
    assert scene.objects.area.tolist() == pytest.approx([150])
    rows, cols = np.nonzero(scene.reference == 1)
    assert (rows.mean() + 0.5) / 2 == pytest.approx(20, abs=0.6)
    assert (cols.mean() + 0.5) / 2 == pytest.approx(17.5, abs=0.6)
    assert scene.image[:, scene.reference == 1].mean() > 180


def test_scores_of_buildings_are_those_of_scikit_learn() -> None:
    scene = on_working_grid(square_source(), 0.5)
    probability = np.zeros(scene.reference.shape, np.float32)
    probability[32:52, 20:50] = 0.9  # one metre too low
    probability[:4, :4] = 0.9  # in the unknown corner
    outlines = gpd.GeoDataFrame(geometry=[shapely.affinity.translate(scene.objects.geometry[0], 0, -1)], crs=CRS)
    scores = score_buildings(scene, BuildingMap(probability, outlines)).to_dict()
    known = scene.reference != VOID
    assert scores["iou"] == pytest.approx(jaccard_score(scene.reference[known], probability[known] >= 0.5))
    assert scores["object_f1"] == 1
    nothing = BuildingMap(np.zeros_like(probability), outlines[:0])
    both = score_buildings(scene, BuildingMap(probability, outlines)) + score_buildings(scene, nothing)
    assert both.to_dict()["object_f1"] == pytest.approx(2 / 3)


def test_infrared_becomes_green_where_plants_are() -> None:
    plant = np.array([200, 40, 60], np.uint8)[:, None, None]
    red, green, blue = building_scores.natural_colours(plant).ravel().astype(int)
    assert green > max(red, blue)


def rows_of(truth: list[int], grade: list[int], probability: list[float], site: str = "joplin") -> pd.DataFrame:
    frame = pd.DataFrame(
        {"site": site, "case": "", "id": "", "truth": truth, "grade": grade, "probability": probability}
    )
    return frame.assign(probability_half=probability, interval_low=np.nan, interval_high=np.nan)


def test_ranges_are_wide_where_few_buildings_are_known_and_hold_the_scores() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 320):
        probability = rng.uniform(0.02, 0.98, count)
        truth = np.where(rng.random(count) < probability, 3, 0)
        rows = rows_of(truth.tolist(), np.where(probability > 0.5, 3, 0).tolist(), probability.tolist())
        scores, ranges = scores_of(rows), ranges_of(rows, draws=100)
        for key in ("auc", "four_grades", "quadratic_kappa"):
            least, greatest = ranges[f"{key}_range"]
            assert least <= scores[key] <= greatest
        widths.append([greatest - least for least, greatest in ranges.values()])
        assert ranges["ece_if_right_range"][0] > 0
    assert (np.array(widths[0]) > 2 * np.array(widths[1])).all()
    assert ranges_of(rows_of([0, 1], [0, 0], [0.1, 0.2])) == {}


def test_intervals_are_right_job_by_job_and_have_a_width() -> None:
    jobs = [  # truth of the assessed buildings, interval
        ([3, 3, 0, 0], (0.4, 0.7)), ([0, 0, 0, 0], (0.0, 0.2)), ([3, 3, 3, 1], (0.1, 0.5)), ([2], (None, None)),
    ]  # fmt: skip
    parts = [
        rows_of(truth, [0] * len(truth), [0.1] * len(truth)).assign(case=str(k), interval_low=low, interval_high=high)
        for k, (truth, (low, high)) in enumerate(jobs)
    ]
    unseen = rows_of([3], [-1], [np.nan]).assign(case="1", interval_low=0.0, interval_high=0.2)  # not assessed
    found = intervals_of(pd.concat([*parts, unseen], ignore_index=True))
    assert found == {
        "intervals": 3,
        "intervals_held": 2,
        "intervals_right": pytest.approx(2 / 3),
        "interval_width": pytest.approx((0.3 + 0.2 + 0.4) / 3),
    }
    assert intervals_of(parts[3]) == {}


def test_scores_of_damage_count_the_assessed_and_name_the_rest() -> None:
    rows = rows_of([0, 1, 2, 3, 3, 0], [0, 2, 1, 3, 3, -1], [0.1, 0.6, 0.4, 0.9, 0.8, np.nan])
    scores = scores_of(rows)
    assert (scores["buildings"], scores["assessed"], scores["damaged"]) == (6, 5, 3)
    assert scores["auc"] == pytest.approx(5 / 6)
    assert scores["f1"] == pytest.approx(2 / 3)
    assert scores["four_grades"] == pytest.approx(3 / 5)
    assert scores["false_alarms"] == pytest.approx(1 / 2)
    assert scores["brier"] == pytest.approx(np.mean([0.01, 0.36, 0.36, 0.01, 0.04]))
    assert scores["quadratic_kappa"] == pytest.approx(
        cohen_kappa_score([0, 1, 2, 3, 3], [0, 2, 1, 3, 3], weights="quadratic")
    )


def test_a_share_is_taken_back_as_the_decision_put_it_in() -> None:
    half = np.array([[0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.2, 0.4]])
    adjusted = adjust_to_share(half, 0.1)[:, 2:].sum(axis=1)
    assert at_half(adjusted, 0.1) == pytest.approx(half[:, 2:].sum(axis=1))


def test_grades_of_a_mask_follow_most_of_its_pixels() -> None:
    from deepnets4eo.rasters import Layer

    mask = np.zeros((20, 20), np.uint8)
    mask[2:8, 2:8], mask[2, 2:4], mask[12:18, 12:18] = 4, 1, 1
    outlines, grades = damage_scores.graded_regions(mask, Layer.open(np.zeros((3, 20, 20), np.uint8)))
    assert grades == ["destroyed", "no-damage"]
    assert outlines.area.tolist() == [36, 36]
    assert [piece.area for piece in regions_of((mask == 4).astype(np.uint8))] == [34]


def test_tables_stand_beside_the_goals_and_name_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_places, "ranges_of", partial(ranges_of, draws=10))  # no range is looked at
    real_places.score_damage(real_places.weight_free_settings(), "none", tmp_path, tmp_path, damage_scores.SITES)
    good = real_places.scores_by_site(rows_of([0, 0, 3, 3], [0, 0, 3, 3], [0.1, 0.2, 0.8, 0.9]))
    bad = real_places.scores_by_site(rows_of([0, 0, 3, 3], [0, 3, 0, 3], [0.1, 0.8, 0.2, 0.9]))
    for name, scores in (("good", good), ("bad", {**bad, "vegas": {results.MISSING: "missing: there is no vegas"}})):
        results.write_json(tmp_path / f"damage-{name}.json", scores)
    text = results.write_results(tmp_path, {"damage": {}, "buildings": {}}).read_text(encoding="utf-8")
    assert "| Joplin, AUC | 0.994 | ≥ 0.994 | 0.750 | 1.000 ✓ | – |" in text
    assert "| vegas | missing: there is no vegas |" in text
    assert f"| kampala | missing: there is no {tmp_path / 'fair_kampala'} |" in text


def test_scores_of_buildings_are_stored_next_to_those_of_damage_with_their_means(tmp_path: Path) -> None:
    stored = tmp_path / "stored.json"
    write_json(stored, {"smoke": False, "after": {"commit": "abc"}})
    places = {name: {"iou": iou, "object_f1": 0.5, "objects": 3} for name, iou in (("one", 0.25), ("two", 0.75))}
    write_json(tmp_path / "buildings-forest.json", places | {"three": {results.MISSING: "missing: there is no three"}})
    kept = read_json(store_building_scores(tmp_path, stored))
    assert kept["after"] == {"commit": "abc"}
    assert kept["buildings"]["forest"] == {
        "one": {"iou": 0.25, "object_f1": 0.5},
        "two": {"iou": 0.75, "object_f1": 0.5},
        "mean of all places": {"iou": 0.5, "object_f1": 0.5},
    }


def test_scores_before_and_after_are_in_one_table_and_places_without_grades_report_what_the_job_states(
    tmp_path: Path,
) -> None:
    truth, stored = [0, 0, 0, 3, 3, 3], tmp_path / "stored.json"
    city = partial(rows_of, truth, site="Adiyaman_Merkez_6")
    panel = rows_of([-1] * 3, [3, 0, -1], [0.9, 0.1, np.nan], "panel").assign(interval_low=0.25, interval_high=0.75)
    worse, better = (
        city([0, 3, 0, 0, 3, 3], [0.1, 0.8, 0.2, 0.3, 0.8, 0.9]),
        city(truth, [0.1, 0.1, 0.2, 0.7, 0.8, 0.9]),
    )
    for state, rows in (("before", worse), ("after", better)):
        scores = real_places.scores_by_site(pd.concat([rows, panel], ignore_index=True))
        assert scores[results.ALL]["buildings"] == scores[results.TURKEY]["buildings"] == 6  # none of the panel
        results.write_json(tmp_path / "damage-shipped-both.json", scores)
        store_scores(tmp_path, stored, "abc", state)
    lines = before_after_table(tmp_path, stored).splitlines()
    of_city = next(line for line in lines if line.startswith("| Adiyaman_Merkez_6"))
    assert "| 3 of 6 |" in of_city
    assert "| 0.333 → 0.000 |" in of_city  # standing called
    assert "0.667 (" in of_city
    assert "→ 1.000 (1.000–1.000)" in of_city
    assert "| panel | no grades; 1 of 2 named | – | – | – | – | 0.500 |" in lines


@pytest.mark.real_data
def test_reference_and_image_of_real_places_lie_on_each_other(real_data: Path) -> None:
    """Roofs differ in brightness or colour from what is around them, and less so where the reference lies 15 m off."""
    for name in ("wv3_vegas", "fair_kampala"):
        site = next(site for site in building_scores.SITES if site.name == name)
        if not (real_data / site.folder).is_dir():
            pytest.skip(f"{site.folder} is not in {real_data}")
        (source,) = site.read(real_data / site.folder)
        scene = on_working_grid(source, 0.5)
        contrast = [difference(scene.image, np.roll(scene.reference == 1, shift, axis=(0, 1))) for shift in (0, 30)]
        assert contrast[0] > 2 * contrast[1]


def difference(image: np.ndarray, mask: np.ndarray) -> float:
    """Greatest difference of mean band ratios inside and outside a mask."""
    share = image / np.maximum(image.sum(axis=0), 1)
    return float(np.abs(share[:, mask].mean(axis=1) - share[:, ~mask].mean(axis=1)).max())


def test_the_mean_over_sites_is_not_that_of_one_list_of_all_buildings() -> None:
    one = {"buildings": 10, "damaged": 5, "assessed": 9}
    scores = {
        "town": {**one, "auc": 0.9},
        "village": {**one, "auc": 0.6},
        "village, 1 m": {**one, "auc": 0.1},
        "intact": {**one, "damaged": 0, "auc": None},
        results.ALL: {**one, "auc": 0.99},
    }
    means = results.mean_of_sites(scores)
    assert means == {
        "buildings": 20, "damaged": 10, "assessed": 18, "sites": 2, "auc": pytest.approx(0.75), "auc_worst": 0.6, "worst_site": "village",
    }  # fmt: skip
    assert results.mean_of_sites({"intact": scores["intact"]}) == {}


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_case_by_the_command_line_is_the_map_of_the_call(tmp_path: Path, in_memory: bool) -> None:
    city = City(seed=3, size_px=192)
    pre, post = (Layer.open(date.image, grid=date.grid) for date in (city.pre, city.post))
    if not in_memory:
        pre, post = (
            Layer.open(image_file(image, tmp_path / f"{name}.tif")) for name, image in (("pre", pre), ("post", post))
        )
    case = DamageCase(
        "city", pre, post, city.footprints()[["id", "geometry"]], pd.DataFrame(), event=damage_scores.QUAKE
    )
    by_command = map_of(case, Settings()).buildings.set_index("id")
    called = assess(pre, post, case.outlines, event=case.event).buildings.set_index("id")
    assert len(called) == 3
    assert by_command["damage_prob"].to_numpy() == pytest.approx(
        called.loc[by_command.index, "damage_prob"].to_numpy(), abs=1e-7, nan_ok=True
    )
    assert (by_command["damage"].fillna("") == called.loc[by_command.index, "damage"].fillna("")).all()


def test_a_case_that_the_job_refuses_is_an_error(tmp_path: Path) -> None:
    noise = Layer.open(np.random.default_rng(0).integers(1, 255, (3, 128, 128), dtype=np.uint8))
    outlines = gpd.GeoDataFrame({"id": ["a"]}, geometry=[shapely.box(30, 30, 60, 60)])
    case = DamageCase("noise", noise, noise, outlines, pd.DataFrame(), changes=damage_scores.PIXELS | {"gsd_m": 0.5})
    with pytest.raises(InputError, match="ended with status 2"):
        map_of(case, Settings())
