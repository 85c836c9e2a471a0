"""Sites of the challenge's layout are read with their labels, scored by F1 and handed in whole; methods vote by majority."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
import shapely
from challenge import (
    ANNOTATIONS,
    BAND_FOLDER,
    BANDS,
    SiteFiles,
    calls_for_f1,
    calls_of,
    damaged_f1,
    majority,
    read_site,
    write_submission,
)
from geotiff import write_geotiff
from refusals import raises_naming
from sklearn.metrics import f1_score

from deepnets4eo.cards import DatasetCard
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.inspection import inspect_dataset, recognise

CRS = "EPSG:32637"
FILES = SiteFiles(footprints="town_testing.gpkg", post="after-calibrated", pre="before-calibrated")
LABELS = [1, 0, None, 1, 0]


def houses(**columns: object) -> gpd.GeoDataFrame:
    boxes = [shapely.box(10 * number, -8, 10 * number + 6, -2) for number in range(5)]
    return gpd.GeoDataFrame({"fid": [3, 4, 5, 7, 9], **columns}, geometry=boxes, crs=CRS)


def scene(folder: Path, value: int) -> None:
    for number, band in enumerate(BANDS):
        write_geotiff(
            folder / BAND_FOLDER / f"r-{band}.tif", np.full((1, 12, 60), value + number, np.uint16), crs=CRS,
            transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
        )  # fmt: skip


@pytest.fixture
def charter(tmp_path: Path) -> Path:
    folder = tmp_path / "charter" / "Testing"
    (folder / ANNOTATIONS).mkdir(parents=True)
    houses(damaged=LABELS).to_file(folder / ANNOTATIONS / FILES.footprints)
    scene(folder / "after-calibrated", 100)
    scene(folder / "bundle" / "before-calibrated", 50)
    return tmp_path / "charter"


def test_a_site_has_its_scenes_and_labels_of_one_zero_or_none(charter: Path) -> None:
    site = read_site(charter, "town", FILES)
    assert site.labels.tolist() == [1, 0, -1, 1, 0]
    assert site.pre is not None
    assert site.pre.read()[0][:, 0, 0].tolist() == [50, 51, 52]
    assert site.post.read()[0][:, 0, 0].tolist() == [100, 101, 102]
    alone = read_site(charter / "Testing", "town", FILES.model_copy(update={"pre": None}))
    assert alone.pre is None


def test_buildings_beside_a_scene_have_no_label_there(charter: Path) -> None:
    folder = charter / "Testing" / "half-calibrated"
    for band in BANDS:
        write_geotiff(
            folder / BAND_FOLDER / f"r-{band}.tif", np.ones((1, 12, 25), np.uint16), crs=CRS,
            transform=rasterio.Affine(1, 0, 0, 0, -1, 0),
        )  # fmt: skip
    site = read_site(charter, "half", FILES.model_copy(update={"post": "half-calibrated"}))
    assert site.labels.tolist() == [1, 0, -1, -1, -1]


def test_check_recognises_the_layout_and_names_what_a_scene_lacks(charter: Path) -> None:
    card = recognise(charter)
    assert card is not None
    assert card.name == "earthquake_response"
    assert inspect_dataset(str(charter), card, split="phases").problems == []
    (charter / "Testing" / "after-calibrated" / BAND_FOLDER / "r-blue.tif").unlink()
    (charter / "Testing" / ANNOTATIONS / FILES.footprints).write_bytes(b"no database")
    found = inspect_dataset(str(charter), card).problems
    assert any("1 of 2 tiles have no blue: Testing/after-calibrated" in problem for problem in found)
    assert any("town_testing.gpkg" in problem for problem in found)


def test_missing_and_doubled_scenes_and_other_labels_are_refused(charter: Path) -> None:
    with raises_naming(InputError, "'after-calibrated'"):
        read_site(charter, "town", SiteFiles(footprints=FILES.footprints, post="after-calibrate"))
    with raises_naming(InputError, "town.gpkg"):
        read_site(charter, "town", SiteFiles(footprints="town.gpkg", post="after-calibrated"))
    scene(charter / "Training" / "after-calibrated", 1)
    with pytest.raises(InputError, match="the scene after-calibrated twice"):
        read_site(charter, "town", FILES)
    (charter / "Training" / "after-calibrated" / BAND_FOLDER / "r-red.tif").unlink()
    (charter / "Training" / ANNOTATIONS).mkdir(parents=True)
    houses().to_file(charter / "Training" / ANNOTATIONS / FILES.footprints)
    with raises_naming(InputError, "r-red.tif"):
        read_site(charter / "Training", "town", FILES)
    houses(damaged=[1, 2, 0, 3, None]).to_file(charter / "Testing" / ANNOTATIONS / FILES.footprints)
    with raises_naming(LabelError, "2", "'damaged'", "2.0", "3.0", "1"):
        read_site(charter / "Testing", "town", FILES)


def test_a_submission_is_the_sites_own_file_with_every_building_called_once(charter: Path, tmp_path: Path) -> None:
    site = read_site(charter, "town", FILES)
    ids = site.footprints.frame["id"].tolist()
    calls = dict(zip(ids, [0, 1, 1, 0, 0], strict=True))
    handed_in = pyogrio.read_dataframe(write_submission(site.path, calls, tmp_path / "out"), fid_as_index=True)
    assert (tmp_path / "out" / FILES.footprints).is_file()
    assert handed_in.index.tolist() == [3, 4, 5, 7, 9]
    assert handed_in["damaged"].tolist() == [0, 1, 1, 0, 0]
    assert handed_in.geometry.tolist() == houses().geometry.tolist()
    with raises_naming(InputError, "town_testing.gpkg", "nor 1", "0 nor"):
        write_submission(site.path, {**dict(list(calls.items())[1:]), ids[1]: -1}, tmp_path / "other")
    with raises_naming(InputError, "town_testing.gpkg", "1"):
        write_submission(site.path, [*calls.items(), (ids[0], 1), ("x", 0)], tmp_path / "other")
    with pytest.raises(InputError, match="challenge's own file"):
        write_submission(site.path, calls, site.path.parent)


def test_f1_counts_labelled_buildings_and_takes_no_call_as_undamaged() -> None:
    rng = np.random.default_rng(0)
    labels, calls = (rng.integers(-1, 2, 200).astype(np.int8) for _ in range(2))
    seen = labels >= 0
    assert damaged_f1(labels, calls) == pytest.approx(f1_score(labels[seen], calls[seen] == 1))
    assert np.isnan(damaged_f1(np.array([0, -1], np.int8), np.array([0, 1], np.int8)))


def test_calls_for_f1_are_the_best_of_all_numbers_of_calls_in_simulated_truths() -> None:
    """Probabilities that are right: no other number of likeliest buildings has a higher mean F1 over many truths."""
    rng = np.random.default_rng(1)
    probability = rng.beta(0.3, 3, 300)
    order = np.argsort(-probability)
    truths = rng.random((400, 300)) < probability
    hits = np.cumsum(truths[:, order], axis=1)
    mean_f1 = (2 * hits / (np.arange(1, 301) + truths.sum(axis=1, keepdims=True))).mean(axis=0)
    calls = calls_for_f1(probability)
    assert set(np.flatnonzero(calls == 1)) == set(order[: (calls == 1).sum()])
    assert mean_f1[(calls == 1).sum() - 1] > mean_f1.max() - 0.002
    assert mean_f1[(probability >= 0.5).sum() - 1] < mean_f1.max() - 0.05
    assert calls_for_f1(np.full(2, np.nan)).tolist() == [-1, -1]


def test_the_majority_is_that_of_those_who_know_and_the_first_one_breaks_ties() -> None:
    votes = np.array([[-1, 0, 1, -1], [1, 1, 0, -1], [0, 1, -1, -1], [-1, 0, -1, -1]], np.int8)
    assert majority(votes).tolist() == [1, 0, 1, -1]


def test_a_map_calls_major_damage_and_what_it_lacks_has_no_call() -> None:
    buildings = pd.DataFrame(
        {
            "id": ["a", "b", "c", "d"], "damage": ["major-damage", "minor-damage", None, "destroyed"],
            "status": ["assessed", "assessed", "not_assessed", "assessed"],
        }
    )  # fmt: skip
    assert calls_of(buildings, ["d", "c", "b", "a", "e"]).tolist() == [1, -1, 0, 1, -1]
    grades = {"damage": ["not-known", "not-known", None, "destroyed"], "likeliest": buildings["damage"]}
    ranked = buildings.assign(**grades, damage_rank=[2.0, 3.0, np.nan, 1.0])  # of a site whose count is not known
    assert calls_of(ranked, ["d", "c", "b", "a", "e"]).tolist() == [1, -1, 0, 1, -1]


def test_the_published_rows_are_those_of_the_leaderboard() -> None:
    alone, both = DatasetCard.load("earthquake_response").published.values()
    assert list(alone.sites.values()) == [93.3, 73.4, 81.9, 78.7]
    assert list(both.sites.values()) == [88.9, 75.0, 82.9, 84.8]
    assert (alone.mean_f1, both.mean_f1) == (80.392, 82.116)
