"""A raster of scores becomes a column, and decides only as far as its card or its user lets it."""

import json
from functools import cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from rasterio.features import geometry_mask
from refusals import raises_naming
from scipy.special import expit, logit

from deepnets4eo.damage import (
    EvidenceCard,
    FurtherInputs,
    JobControl,
    RasterEvidence,
    Settings,
    assess,
    assess_inputs,
    open_inputs,
)
from deepnets4eo.damage.decision.reliability import Judgement, Opinion, Reliability
from deepnets4eo.damage.evidences import rasters
from deepnets4eo.damage.evidences.points import DEFAULT_WEIGHT
from deepnets4eo.damage.evidences.rasters import ScoreLayer, mean_scores
from deepnets4eo.damage.evidences.words import parse_evidences
from deepnets4eo.damage.opening import open_given
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.grid import Grid, whole
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.synthetic import City

pytestmark = pytest.mark.usefixtures("gathered_once")
CARD = EvidenceCard(intercept=-8.0, slope=8.0, auc_major_or_worse=0.9, buildings=200)
HALF = Settings(damaged_share=0.5)


@cache
def city() -> City:
    return City(seed=3, size_px=256)


@cache
def pre_layer() -> Layer:
    return Layer.open(city().pre.image, grid=city().pre.grid)


@cache
def post_layer() -> Layer:
    return Layer.open(city().post.image, grid=city().post.grid)


@cache
def scores() -> np.ndarray:
    """Random ones, unknown below row 150."""
    values = np.random.default_rng(0).random(post_layer().shape).astype(np.float32)
    values[150:] = np.nan
    return values


def write(path: Path, values: np.ndarray, grid: Grid | None = None, **how) -> Path:
    grid = post_layer().grid if grid is None else grid
    with CogWriter(path, grid, count=len(values), dtype=str(values.dtype), **how) as cog:
        cog.write(whole(grid), values)
    return path


def run(*evidence: RasterEvidence, **more):
    return assess(pre_layer(), post_layer(), city().footprints(), evidence=evidence, settings=HALF, **more)


@pytest.fixture(scope="module")
def raster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("score") / "score.tif", scores()[None])


@pytest.fixture(scope="module")
def plain():
    return run().buildings


@pytest.fixture(scope="module")
def decided(raster, tmp_path_factory):
    path = tmp_path_factory.mktemp("with_card") / "score.tif"
    path.write_bytes(raster.read_bytes())
    CARD.write(path)
    return run(RasterEvidence("change", str(path)))


def test_the_column_is_the_mean_score_in_the_outline(decided):
    assessed = decided.buildings[decided.buildings["status"] == "assessed"]
    assert 0 < assessed["ev_change"].notna().sum() < len(assessed)  # some lie where there is no score
    for _, row in assessed.iterrows():
        inside = geometry_mask([row.geometry], scores().shape, post_layer().grid.affine, invert=True)
        values = scores()[inside][np.isfinite(scores()[inside])]
        expected = values.mean() if len(values) else np.nan
        assert row["ev_change"] == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_a_score_without_card_is_shown_only(raster, plain):
    result = run(RasterEvidence("change", raster))
    np.testing.assert_array_equal(result.buildings["damage_prob"], plain["damage_prob"])
    assert result.meaning["ev_change"] == "mean of the raster 'score.tif' in the outline on post; not in the decision"
    assert "evidence_shown" in {finding.code for finding in result.findings}


def test_with_a_card_the_log_odds_are_averaged_by_weight_and_skill(decided, plain):
    weight = 0.5 * 0.8
    score = decided.buildings["ev_change"].to_numpy()
    before = np.linspace(0.1, 0.9, len(score))
    even = np.stack([0.5 * (1 - before), 0.5 * (1 - before), 0.3 * before, 0.7 * before], axis=1)
    judged = Judgement(even, np.full(len(score), "a", object), {"a": Reliability(thresholds=(0.1, 0.2))})
    found = judged.pooled_with([Opinion(weight, CARD.log_odds(score))])
    pooled = expit((1 - weight) * logit(before) + weight * (-8 + 8 * score))
    np.testing.assert_allclose(found.probabilities[:, 2:].sum(axis=1), np.where(np.isnan(score), before, pooled))
    np.testing.assert_array_equal(found.whose == "a", np.isnan(score))  # a score that says something widens the doubt
    thresholds = found.values(lambda fitted: fitted.thresholds)[:, 0]  # measured ones move towards the unmeasured 0.5
    np.testing.assert_allclose(thresholds, np.where(np.isnan(score), 0.1, 0.1 + weight * 0.4))
    assert (decided.buildings["damage_prob"] != plain["damage_prob"])[~np.isnan(score)].all()


def test_findings_and_products_say_what_was_used(decided, tmp_path):
    (finding,) = [finding for finding in decided.findings if finding.code == "evidence_used"]
    assert "weight of 0.40: its skill is 0.80 (AUC 0.90 on 200 graded buildings)" in finding.message
    paths = decided.save(tmp_path / "damage", pre=pre_layer(), post=post_layer())
    manifest = json.loads(paths["manifest.json"].read_text())
    assert manifest["parameters"]["evidence"]["change"]["weight_in_decision"] == pytest.approx(0.4)
    assert {"ev_change", "ev_change_card"} <= decided.inputs.keys()
    assert "ev_change" in gpd.read_file(paths["damage.gpkg"], layer="buildings").columns
    assert "ev_change" in pd.read_parquet(paths["damage.parquet"]).columns
    assert "ev_change" in paths["report.html"].read_text(encoding="utf-8")


def open_raster_evidence(evidence: list[RasterEvidence], post: Layer) -> list[ScoreLayer]:
    return [raster.open(post) for raster in evidence]


def decide_alone(layer, score):
    """Probabilities before and after, and the finding's code and severity, of assessed buildings with these scores."""
    before = np.array([[0.4, 0.3, 0.2, 0.1]] * len(score))
    frame = pd.DataFrame({"status": "assessed", "ev_change": score})
    finding = layer.finding(Buildings(frame))
    judged = Judgement(before, np.full(len(before), "a", object), {"a": Reliability()})
    opinion = Opinion(layer.weight, layer.log_odds(frame[layer.column].to_numpy(float)))
    return before, judged.pooled_with([opinion]).probabilities, finding


def test_a_weight_without_card_takes_the_mean_as_a_probability_and_warns(raster):
    (layer,) = open_raster_evidence([RasterEvidence("change", raster, weight=1.0)], post_layer())
    before, after, finding = decide_alone(layer, [0.05, 0.9, np.nan])
    np.testing.assert_allclose(after[:2, 2:].sum(axis=1), [0.05, 0.9])
    np.testing.assert_array_equal(after[2], before[2])
    np.testing.assert_allclose(after.sum(axis=1), 1)
    assert (finding.code, finding.severity) == ("evidence_unvalidated", "caution")
    assert "1 of 3 assessed buildings have no value" in finding.message


def test_a_card_without_skill_does_not_decide(raster):
    evidence = RasterEvidence("change", raster, weight=1.0, card=EvidenceCard(0, 1, 0.9, 20))
    (layer,) = open_raster_evidence([evidence], post_layer())
    before, after, finding = decide_alone(layer, [0.05, 0.9, 0.3])
    np.testing.assert_array_equal(after, before)
    assert (finding.code, finding.severity) == ("evidence_without_skill", "caution")
    assert "validated on 20 buildings" in finding.message


def test_a_raster_in_another_crs_and_pixel_size_is_warped(tmp_path):
    buildings = city().footprints().to_crs(post_layer().grid.crs.to_wkt()).geometry
    inside = buildings[buildings.within(post_layer().grid.extent.geom)]
    west, _, _, north = gpd.GeoSeries([post_layer().grid.extent.geom], crs=buildings.crs).to_crs(4326).total_bounds
    step = 1e-5  # degrees: 0.7 m by 1.1 m
    grid = Grid((120, 160), Affine(step, 0, west - 10 * step, 0, -step, north + 10 * step), "EPSG:4326")
    east = np.broadcast_to(np.arange(160, dtype=np.float32) + 0.5, (1, 120, 160)).copy()
    (layer,) = open_raster_evidence([RasterEvidence("east", write(tmp_path / "e.tif", east, grid))], post_layer())
    means = mean_scores([layer], inside.to_numpy(), 1)["ev_east"]
    np.testing.assert_allclose(means, (inside.centroid.to_crs(4326).x - west) / step + 10, atol=0.3)


def test_probabilities_as_bytes_are_read_from_the_band_of_that_name(tmp_path):
    bands = np.stack([np.full(post_layer().shape, 200, np.uint8), np.full(post_layer().shape, 54, np.uint8)])
    how = {"band_names": ("no change", "change"), "nodata": 255, "tags": {"PACKED_ONE": "254"}}
    path = write(tmp_path / "probabilities.tif", bands, **how)
    (layer,) = open_raster_evidence([RasterEvidence("change", path)], post_layer())
    outline = city().footprints().to_crs(post_layer().grid.crs.to_wkt()).geometry.to_numpy()[:3]
    np.testing.assert_allclose(mean_scores([layer], outline, 1)["ev_change"], 54 / 254)
    with raises_naming(InputError, "probabilities.tif", "2 bands"):
        open_raster_evidence([RasterEvidence("flood", path)], post_layer())


def test_an_interrupted_job_does_not_measure_again(raster, tmp_path, monkeypatch):
    calls = []
    measure = mean_scores
    monkeypatch.setattr(rasters, "mean_scores", lambda *words: calls.append(1) or measure(*words))
    first, again, other = (
        assess_inputs(
            open_inputs(None, post_layer(), city().footprints(), evidence=[RasterEvidence("change", source)]),
            work=JobControl(tmp_path),
        )
        for source in (raster, raster, Layer.open(scores() + 1, grid=post_layer().grid))
    )
    assert calls == [1, 1]
    assert first.buildings.equals(again.buildings)
    np.testing.assert_allclose(other.buildings["ev_change"], first.buildings["ev_change"] + 1, atol=1e-6)


def test_a_raster_of_another_site_is_refused():
    away = Grid(post_layer().shape, post_layer().grid.affine * Affine.translation(5000, 0), post_layer().grid.crs)
    with raises_naming(GridError, "'ev_change'"):
        open_raster_evidence([RasterEvidence("change", Layer.open(scores(), grid=away))], post_layer())


@pytest.mark.parametrize(("value", "word"), [(np.inf, "infinite values"), (np.nan, "no values")])
def test_values_that_are_not_finite_are_refused(value, word):
    layer = Layer.open(np.full(post_layer().shape, value, np.float32), grid=post_layer().grid)
    with raises_naming(InputError, word):
        open_raster_evidence([RasterEvidence("change", layer)], post_layer())


@pytest.mark.parametrize("name", ["Change", "a b", "", "texture", "net_destroyed"])
def test_names_of_own_columns_and_names_that_are_none_are_refused(name):
    with pytest.raises(InputError, match="expected small letters|own column"):
        RasterEvidence(name, "score.tif")


def test_names_and_weights_that_do_not_go_together_are_refused(raster):
    with pytest.raises(InputError, match="each needs its own name"):
        open_given([RasterEvidence("a", raster)] * 2, post_layer(), None)
    with raises_naming(InputError, "1.20"):
        assess(
            None,
            post_layer(),
            city().footprints(),
            evidence=[RasterEvidence(name, raster, weight=0.6) for name in "ab"],
        )
    with raises_naming(InputError, "'a'", "2"):
        RasterEvidence("a", raster, weight=2)


def test_scores_that_are_no_probabilities_need_a_card_to_decide():
    (layer,) = open_raster_evidence(
        [RasterEvidence("a", Layer.open(scores() * 9, grid=post_layer().grid), weight=0.2)], post_layer()
    )
    with pytest.raises(InputError, match="without a card they must be probabilities"):
        mean_scores([layer], city().footprints().to_crs(post_layer().grid.crs.to_wkt()).geometry.to_numpy(), 1)


@pytest.mark.parametrize(
    ("words", "rasters", "points"),
    [
        ({"evidence": ["change=a.tif", "heat=b.tif"], "evidence_weight": "heat=0.3"}, [("change", "a.tif", None), ("heat", "b.tif", 0.3)], None),
        ({"points_post": "b.laz"}, [], ("b.laz", None, DEFAULT_WEIGHT)),
        ({"points_post": "b.laz", "points_pre": "a.laz", "evidence": ["change=a.tif"], "evidence_weight": "points=.2,change=1"},
         [("change", "a.tif", 1.0)], ("b.laz", "a.laz", 0.2)),
        ({}, [], None),
    ],
)  # fmt: skip
def test_words_name_rasters_and_clouds_with_their_weights(words, rasters, points) -> None:
    found, cloud, files = parse_evidences(FurtherInputs(**words))
    assert files == {}
    assert [(one.name, one.source, one.weight) for one in found] == rasters
    assert (None if cloud is None else (cloud.post, cloud.pre, cloud.weight)) == points


@pytest.mark.parametrize(
    "words",
    [{"points_pre": "a.laz"}, {"points_post": "b.laz", "evidence_weight": "points=0.2,points=0.3"},
     {"points_post": "b.laz", "evidence_weight": "points=much"}, {"evidence": ["a.tif"]}, {"evidence": ["a=b.tif", "a=c.tif"]},
     {"evidence": ["a=b.tif"], "evidence_weight": "b=0.2"}, {"evidence_weight": "points=0.2"}],
)  # fmt: skip
def test_weights_and_clouds_without_what_they_belong_to_are_refused(words) -> None:
    with pytest.raises(InputError):
        parse_evidences(FurtherInputs(**words))
