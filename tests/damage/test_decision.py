"""The network in the main job: its columns, its weight, and what happens without it."""

import json
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st
from made_up_pairs import GSD_M
from refusals import raises_naming
from scipy.special import logit

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.damage import GRADES, DamageMap, Settings, assess
from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.decision.model import DamageModel
from deepnets4eo.damage.decision.pool import pool_log_odds
from deepnets4eo.damage.decision.reliability import BetaCalibration, GradeSets, Reliability
from deepnets4eo.damage.decision.site_fit import SiteShift, fit_to_site
from deepnets4eo.damage.network import DamageNet, NetworkGrader
from deepnets4eo.damage.table.columns import columns_of, meaning_of
from deepnets4eo.damage.table.probabilities import MIN_PROBABILITY, adjust_to_share, border_log_odds
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.footprints import read_footprints
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import register
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.synthetic import City, Event
from deepnets4eo.tiling import Tiling

pytestmark = pytest.mark.usefixtures("labelled_once", "gathered_once")
NET = columns_of("network")
NOTHING = np.zeros((0, 4))
SMALL = {"name": "damage-network", "unet": "unet", "post_head": False, "decoder_channels": [16, 16, 8]}
PERFECT = {"auc_major_or_worse": 1.0, "kappa": 1.0}


@cache
def make_module(bands: int) -> DamageNet:
    """A network that has learnt nothing; nobody changes it."""
    import torch

    torch.manual_seed(0)
    return DamageNet(2 * bands, 4, unet="unet", post_head=False, decoder_channels=(16, 16, 8))


def make_run(
    folder: Path,
    bands: int = 3,
    validation: dict[str, float] | None = None,
    reliability: dict[str, object] | None = None,
) -> Path:
    """A run of a network that has learnt nothing; its card holds the validation scores given, perfect ones by default."""
    layer = LayerInput(tuple(f"band_{k + 1}" for k in range(bands)), (100.0,) * bands, (50.0,) * bands, 0, 255)
    inputs = InputSpec({"pre": layer, "post": layer}, GSD_M)
    segmenter = NetworkSegmenter(SMALL, inputs, Legend.load("xbd"), tiling=Tiling(128, 16), module=make_module(bands))
    split = {"buildings": {"val": dict.fromkeys(Legend.load("xbd").names, 25)}}
    notes = {"validation": PERFECT if validation is None else validation, "split": split}
    notes |= {"reliability": reliability} if reliability else {}
    return save_run(segmenter, folder, notes={"temperature": 0.5, "scaling": "scene"} | notes)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, Path]:
    event = Event(shift_px=(2.0, -3.0), rotation_deg=0.0)
    return City(5, 320, GSD_M, event=event), make_run(tmp_path_factory.mktemp("run"))


def job(place: tuple[City, Path], *, pre: bool = True, **keys: object) -> DamageMap:
    city, run = place
    images = [Layer.open(shown.image, grid=shown.grid) for shown in (city.pre, city.post)]
    chosen = Settings(**({"model": str(run), "workers": 1, "damaged_share": 0.5} | keys))
    return assess(images[0] if pre else None, images[1], city.footprints(), settings=chosen)


@pytest.fixture(scope="module")
def alone(place: tuple[City, Path]) -> DamageMap:
    """The map of the weight-free model alone."""
    return job(place, model="damage-evidence")


@pytest.fixture(scope="module")
def both(place: tuple[City, Path]) -> DamageMap:
    """The map of network and weight-free model together."""
    return job(place)


def test_the_network_decides_together_with_the_weight_free_model(both, alone):
    assert both.meaning == alone.meaning | meaning_of("network")
    paired = both.buildings["method"] == "pre_post"
    assert paired.any()
    network = both.buildings.loc[paired, NET].to_numpy(float)
    np.testing.assert_allclose(network.sum(axis=1), 1)
    sizes = [table.buildings.loc[paired, "damage_set"].str.count(",").mean() for table in (both, alone)]
    assert sizes[0] > sizes[1]  # nothing was measured of the two together
    unpaired = both.buildings["ev_roof_match"].isna()
    assert unpaired.any()
    assert both.buildings.loc[unpaired, NET].isna().all(axis=None)
    columns = [
        name
        for name in alone.buildings.columns
        if name not in ("damage", "damage_prob", "confidence", "damage_set", "reason")
    ]
    pd.testing.assert_frame_equal(pd.DataFrame(both.buildings[columns]), pd.DataFrame(alone.buildings[columns]))
    # both are ordered grades: the log-odds of major-or-worse lie half way between those of the two
    model = DamageModel.load("damage-evidence")
    opinions = model.probabilities(alone.buildings[paired])[:, 2:].sum(axis=1), network[:, 2:].sum(axis=1)
    middle = sum(logit(np.clip(one, MIN_PROBABILITY, 1 - MIN_PROBABILITY)) for one in opinions) / 2
    found = logit(both.buildings.loc[paired, "damage_prob"])
    assert np.corrcoef(middle, found)[0, 1] > 0.99  # fitted to a site of which nothing is known


def test_weight_0_is_the_weight_free_decision_and_weight_1_the_network_alone(place):
    frame = job(place, network_weight=1.0).buildings
    paired = frame[frame["method"] == "pre_post"]
    assert paired["damage_prob"].corr(paired[NET[2:]].sum(axis=1), "spearman") == pytest.approx(1)
    unchanged = pool_log_odds(np.full((len(paired), 4), 0.25), paired[NET].to_numpy(float), 0.0)
    np.testing.assert_allclose(unchanged, 0.25, atol=1e-9)


def test_a_run_without_skill_does_not_decide_and_the_map_says_so(place, both, alone, tmp_path):
    run = make_run(tmp_path / "run", validation={"auc_major_or_worse": 0.52, "kappa": 0.01})
    found = job((place[0], run))
    pd.testing.assert_frame_equal(pd.DataFrame(found.buildings), pd.DataFrame(alone.buildings))
    finding = next(finding for finding in found.findings if finding.code == "network_without_skill")
    assert "AUC is 0.52" in finding.message
    assert found.parameters["network_weight"] == 0.0
    assert "network_without_skill" not in {finding.code for finding in both.findings}


def in_card(measured: Reliability, weight: float = 0.5) -> dict[str, object]:
    """The reliability of both together on pairs, as a run's card holds it."""
    return {"pre_post": {"weight": weight, **measured.to_dict()}}


def test_reliability_in_the_card_of_a_run_is_used_where_it_decides(place, tmp_path):
    sets = GradeSets(np.array([0.3, 0.4, 0.4, 0.3]))
    plain, steep = (
        Reliability((BetaCalibration(slope, slope, 0.0),) * 3, (0.5,) * 2, (0.4, 0.4, 0.4), sets)
        for slope in (1.0, 2.0)
    )
    tables = [
        job((place[0], make_run(tmp_path / str(number), reliability=in_card(measured)))).buildings
        for number, measured in enumerate((plain, steep))
    ]
    paired = (tables[1]["method"] == "pre_post") & (tables[1]["damage_prob"].between(0.01, 0.99))
    assert paired.sum() > 10
    single, doubled = (logit(table.loc[paired, "damage_prob"]) for table in tables)
    slope = np.polyfit(single - single.mean(), doubled - doubled.mean(), 1)[0]
    assert 1.8 < slope < 2.5  # not 2, since the levels of the site move, too
    assert (tables[1].loc[paired, "damage_set"] != ",".join(GRADES)).any()
    with raises_naming(RunError, "reliability"):
        DecisionModel.load(str(make_run(tmp_path / "damaged", reliability={"pre_post": {"spread": 1}})))


def test_reliability_that_was_measured_with_another_weight_is_not_used(place, both, tmp_path):
    measured = Reliability((BetaCalibration(3.0, 3.0, 1.0),) * 3)
    found = job((place[0], make_run(tmp_path / "run", reliability=in_card(measured, weight=0.3))))
    pd.testing.assert_frame_equal(pd.DataFrame(found.buildings), pd.DataFrame(both.buildings))


def test_the_share_of_a_site_follows_from_model_and_network_together(place, tmp_path):
    shift = SiteShift((-0.6, 0.9), (0.5, 0.5), 0.0, 0.8, 10.0)
    measured = Reliability((BetaCalibration(1.2, 1.2, 0.2),) * 3, site=shift)
    run = make_run(tmp_path / "run", reliability=in_card(measured))
    found = job((place[0], run), damaged_share=None)
    frame = found.buildings[found.buildings["status"] == "assessed"]
    model = DecisionModel.load(str(run)).model
    even, kind = model.probabilities(frame), model.variant_names(frame)
    rows = kind == "pre_post"
    assert rows.sum() > 20
    even[rows] = measured.probabilities(border_log_odds(pool_log_odds(even, frame[NET].to_numpy(float), 0.5)[rows]))
    kind[rows] = "both"
    shifts = {name: fitted.site for name, fitted in model.reliabilities.items()}
    expected = fit_to_site(even, kind, shifts | {"both": shift})
    assert found.damaged_share["prior"] == pytest.approx(expected.prior, abs=1e-6)
    low, high = found.damaged_share["interval_95"]
    assert low < found.damaged_share["value"] < high
    assert found.damaged_share["value"] == pytest.approx(found.buildings["damage_prob"].mean())
    weight_free = fit_to_site(model.probabilities(frame), model.variant_names(frame), shifts)
    assert expected.prior != pytest.approx(weight_free.prior)


def test_the_weight_of_a_run_is_what_the_user_allows_times_its_skill(place, tmp_path):
    run = make_run(tmp_path / "run", validation={"auc_major_or_worse": 0.9, "kappa": 0.6})
    assert DecisionModel.load(str(run), 0.5).network.weight == pytest.approx(0.3)
    assert DecisionModel.load(str(place[1]), 0.5).network.weight == 0.5


def test_without_a_pre_image_the_weight_free_decision_stands(place):
    both, alone = job(place, pre=False), job(place, pre=False, model="damage-evidence")
    pd.testing.assert_frame_equal(pd.DataFrame(both.buildings), pd.DataFrame(alone.buildings))


def test_images_are_seen_at_the_ground_size_of_training(place, monkeypatch):
    city, run = place
    pre, post = (Layer.open(shown.image, grid=shown.grid) for shown in (city.pre, city.post))
    outlines_px = read_footprints(city.footprints()).in_pixels(post.grid)
    registration = register(pre, post)
    grader = NetworkGrader.load(run, device="cpu")
    inputs, seen = grader.run.inputs, []
    monkeypatch.setattr(NetworkGrader, "_grade_roofs", lambda _, scene, *rest: seen.append(scene.shape) or NOTHING)
    for gsd_m in (GSD_M, 2 * GSD_M, GSD_M / 1.9):
        grader.run.segmenter.inputs = replace(inputs, gsd_m=gsd_m)
        grader.probabilities(pre, post, outlines_px, registration, None)
    assert seen == [(320, 320), (160, 160), (320, 320)]
    grader.run.segmenter.inputs = replace(inputs, gsd_m=0.2)
    with raises_naming(RunError, "0.5", "0.2"):
        grader.probabilities(pre, post, outlines_px, registration, None)


def test_the_verb_names_run_and_settings_in_its_manifest(place, tmp_path):
    city, run = place
    city.write(tmp_path / "city")
    sources = [str(tmp_path / "city" / name) for name in ("pre.tif", "post.tif", "footprints.gpkg")]
    words = ["--model", str(run), "--set", "damaged_share=0.3", "--out", str(tmp_path / "map"), "--workers", "1"]
    assert main(["damage", *sources, *words]) == 0
    buildings = gpd.read_file(tmp_path / "map" / "damage.gpkg", layer="buildings")
    assert set(NET) < set(buildings.columns)
    manifest = json.loads((tmp_path / "map" / "manifest.json").read_text())
    assert manifest["parameters"]["damaged_share"] == 0.3
    assert manifest["parameters"]["network_weight"] == 0.5
    assert "card.json" in json.dumps(manifest["inputs"]["run"])


def test_runs_and_weights_that_do_not_fit_are_refused(place, tmp_path):
    _, run = place
    with raises_naming(InputError, "1.5", "0"):
        DecisionModel.load(str(run), 1.5)
    with raises_naming(InputError, '"nothing"'):
        DecisionModel.load("nothing")
    with raises_naming(RunError, "3 bands", "training had 4"):
        job((place[0], make_run(tmp_path / "four", bands=4)))
    touched = Path(shutil.copytree(run, tmp_path / "touched"))
    touched.joinpath("legend.yaml").write_text("# touched\n")
    with raises_naming(RunError, "legend.yaml"):
        DecisionModel.load(str(touched))


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_the_combination_is_a_distribution_and_two_equal_inputs_change_nothing(seed, weight):
    first, second = np.random.default_rng(seed).dirichlet(np.ones(4), (2, 20))
    mixed = pool_log_odds(first, second, weight)
    np.testing.assert_allclose(mixed.sum(axis=1), 1)
    assert (mixed >= -1e-12).all()
    same = pool_log_odds(first, first, weight)
    np.testing.assert_allclose(same, first, atol=4 * MIN_PROBABILITY)
    without = pool_log_odds(first, np.full((20, 4), np.nan), weight)
    assert (without == first).all()


def test_a_rarer_event_lowers_every_probability_as_bayes_rule_says() -> None:
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1], [np.nan] * 4])
    found = adjust_to_share(probabilities, 0.05)
    prior = 0.05 / 0.95
    damaged = probabilities[:2, 2:].sum(axis=1)
    assert np.allclose(found[:2, 2:].sum(axis=1), damaged * prior / (damaged * prior + 1 - damaged))
    assert np.allclose(found[:2].sum(axis=1), 1)
    assert np.isnan(found[2]).all()
    assert adjust_to_share(probabilities, 0.5) is probabilities
    with raises_naming(InputError, "share of damaged buildings is 0"):
        DecisionModel.load("damage-evidence", damaged_share=0)
