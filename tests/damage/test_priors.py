"""Priors of damage: read in their units, counted apart from the images, and never in place of what these show clearly."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pyogrio
import pytest
from made_up_map import make_grid, make_images, make_map
from refusals import raises_naming
from scipy.special import expit, logit
from scipy.stats import lognorm
from sklearn.metrics import roc_auc_score

from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageMap, Settings, assess_inputs, open_inputs, open_priors
from deepnets4eo.damage.areas import LOCAL_SPREAD, count_areas, find_areas
from deepnets4eo.damage.decision import priors as combination
from deepnets4eo.damage.decision.priors import combine
from deepnets4eo.damage.evidences.priors import CURVES, UNITS
from deepnets4eo.damage.evidences.shakemap import ShakeMapGrid, inspect_grid
from deepnets4eo.damage.map import MapImages
from deepnets4eo.damage.review import teach
from deepnets4eo.damage.table.reasons import Reason
from deepnets4eo.errors import GridError, InputError
from deepnets4eo.files import read_yaml
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.synthetic import City

GRID = make_grid()
TRUE, REVERSED = 1.0, -1.0


def write_raster(path, values, grid=GRID):
    with CogWriter(path, grid, dtype=values.dtype.name, nodata=None) as writer:
        writer.write(Window(0, 0, *grid.shape), values)
    return path


@pytest.fixture
def damage_map():
    made = make_map(60)
    made.estimates = {"buildings": {"damaged": {"expected": 13.0, "interval_95": [7.0, 22.0]}}}
    made.damaged_share = {"value": 0.25, "interval_95": (0.13, 0.41), "prior": 0.25}
    made.images = MapImages(None, make_images(GRID, made)[1])
    return made


def xml_of(nodes, fields=("LON", "LAT", "MMI", "PGA"), west=-94.6, north=37.1, step=0.1, size=(3, 4), head=""):
    rows, cols = size
    units = {"LON": "dd", "LAT": "dd", "MMI": "intensity", "PGA": "pctg"}
    names = "".join(
        f'<grid_field index="{k}" name="{name}" units="{units[name]}"/>' for k, name in enumerate(fields, 1)
    )
    table = "\n".join(" ".join(f"{value:.4f}" for value in node) for node in nodes)
    return (
        f'<?xml version="1.0" encoding="US-ASCII"?>{head}<shakemap_grid xmlns="http://earthquake.usgs.gov/eqcenter/shakemap">'
        f'<event magnitude="7.1" event_description="Made up"/><grid_specification lon_min="{west}" lat_min="{north - step * (rows - 1)}" '
        f'lon_max="{west + step * (cols - 1)}" lat_max="{north}" nlon="{cols}" nlat="{rows}"/>{names}'
        f"<grid_data>\n{table}\n</grid_data></shakemap_grid>"
    )


def nodes_of(size=(3, 4), west=-94.6, north=37.1, step=0.1):
    return [
        (west + step * col, north - step * row, 5 + row, 10 * row + col)
        for row in range(size[0])
        for col in range(size[1])
    ]


def test_nodes_of_a_shakemap_lie_where_their_coordinates_say(tmp_path):
    path = tmp_path / "grid.xml"
    path.write_text(xml_of(np.random.default_rng(0).permutation(nodes_of())[:-1]))
    grid = ShakeMapGrid.read(path)
    values = grid.fields["PGA"][0]
    expected = np.add.outer(10.0 * np.arange(3), np.arange(4.0))
    assert np.isnan(values).sum() == 1
    np.testing.assert_array_equal(values[np.isfinite(values)], expected[np.isfinite(values)])
    x, y = grid.layer("PGA").grid.affine * (2.5, 1.5)  # the middle of the pixel of the third node of the second row
    assert (x, y) == pytest.approx((-94.4, 37.0))
    described = inspect_grid(str(path))
    assert (described.kind, described.facts["MMI"]) == ("ShakeMap", "5 to 7 intensity")
    assert described.facts["use"].endswith(f"--prior shakemap={path}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (xml_of(nodes_of(), head='<!DOCTYPE a [<!ENTITY b "c">]>'), "declares a document type"),
        (xml_of(nodes_of())[:-40], "cannot be read"),
        (xml_of(nodes_of()).replace(" 5.0000", " five"), "cannot be read"),
        (xml_of(nodes_of()).replace(" 5.0000", "", 1), "values of 4 fields"),
        (xml_of(nodes_of()).replace("nlon", "columns"), "no grid of longitudes"),
        (xml_of(nodes_of()).replace('nlon="4"', 'nlon="400000000"'), "has 3 × 400000000 nodes"),
        (xml_of([node[:2] for node in nodes_of()], fields=("LON", "LAT")), "expected at least 2 × 2 with PGA or MMI"),
        (xml_of([(*node[:2], 1e30, np.nan) for node in nodes_of()]), "has no values on its grid"),
        (xml_of(nodes_of()).replace('lon_max="-94.3', 'lon_max="inf'), "from longitude"),
        ("<svg/>", "has 0 values of 0 fields"),
    ],
)
def test_other_xml_is_refused(tmp_path, text, message):
    (tmp_path / "grid.xml").write_text(text)
    with pytest.raises(InputError, match=re.escape(message)):
        ShakeMapGrid.read(tmp_path / "grid.xml")


@pytest.mark.parametrize(
    ("kind", "value", "dtype"),
    [("wind:mph", 122, "f4"), ("wind:m/s", 54.5, "f4"), ("shakemap:g", 0.26, "f4"), ("shakemap:mmi", 7.3, "f4"), ("flood:ft", 1.969, "f4"), ("dpm", 153, "u1"), ("dpm", 0.6, "f4")],
)  # fmt: skip
def test_an_intensity_counts_in_its_unit(tmp_path, damage_map, kind, value, dtype):
    """All of these are the median of their curve, where one half of the buildings is damaged."""
    path = write_raster(tmp_path / "intensity.tif", np.full((1, *GRID.shape), value, dtype))
    damage_map.add_priors(open_priors([f"{kind}={path}"], damage_map.images.post))
    np.testing.assert_allclose(damage_map.buildings["prior_probability"], 0.5, atol=0.01)
    assert any("The curve of dpm is an assumption." in each.message for each in damage_map.findings) == (kind == "dpm")


def test_a_curve_is_lognormal_and_the_card_has_a_source_for_each(tmp_path, damage_map):
    card = read_yaml(CURVES)
    assert all(curve["source"] for kind in card.values() for curve in kind.values())
    assert {unit for kind in card.values() for unit in kind} == {unit for unit, _ in UNITS.values()}
    path = write_raster(tmp_path / "wind.tif", np.full((1, *GRID.shape), 60, "f4"))
    damage_map.add_priors(open_priors([f"wind:m/s={path}"], damage_map.images.post))
    curve = card["wind"]["m/s"]
    expected = lognorm(curve["beta"], scale=curve["median"]).cdf(60)
    np.testing.assert_allclose(damage_map.buildings["prior_probability"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "value", "message"),
    [
        ("wind={}", 40, "a unit that the file does not state"),
        ("wind:mhp={}", 40, "did you mean 'mph'"),
        ("wnd:mph={}", 40, "Did you mean 'wind'"),
        ("wind:ft={}", 40, "is in ft; expected one of m/s, mph, kt, km/h"),
        ("wind:m/s={}", 190, "expected 0 to 150"),
        ("shakemap:mmi={}", 40, "is 40 to 40 mmi; expected 0 to 12"),
        ("flood:m={}", -3, "expected 0 to 60"),
        ("wind:mph", 40, "expected KIND=FILE"),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path, damage_map, words, value, message):
    path = write_raster(tmp_path / "wind.tif", np.full((1, *GRID.shape), value, "f4"))
    with pytest.raises(InputError, match=f"(?i){re.escape(message)}"):
        damage_map.add_priors(open_priors([words.format(path)], damage_map.images.post))


def test_a_prior_of_another_site_or_unit_is_refused_before_the_long_work_by_its_file(tmp_path, damage_map):
    path = tmp_path / "far.xml"
    path.write_text(xml_of(nodes_of(west=10), west=10))
    with raises_naming(GridError, "--prior", "far.xml"):
        open_priors([f"shakemap={path}"], damage_map.images.post)
    path = write_raster(tmp_path / "wind.tif", np.full((1, *GRID.shape), 40, "f4"))
    with raises_naming(InputError, "wind.tif", "40 mmi"):
        open_priors([f"shakemap:mmi={path}"], damage_map.images.post)


def test_a_prior_without_a_kind_is_refused_also_in_a_dry_run(tmp_path, capsys):
    words = ["damage", "a.tif", "b.tif", "c.gpkg", "--out", str(tmp_path / "out"), "--dry-run"]
    assert main([*words, "--prior", "grid.xml"]) == 2
    assert "--prior is grid.xml; expected KIND=FILE" in capsys.readouterr().err


def test_own_curves_and_a_fixed_weight_come_from_a_file(tmp_path, damage_map):
    path = write_raster(tmp_path / "wind.tif", np.full((1, *GRID.shape), 30, "f4"))
    own = tmp_path / "curves.yaml"
    own.write_text(
        "wind: {m/s: {median: 30, beta: 0.3, weight: 0.2, source: survey}}\nhail: {cm: {median: 5, beta: 0.4}}\n"
    )
    layers = open_priors([f"wind:m/s={path}"], damage_map.images.post, own)
    damage_map.add_priors(layers)
    assert damage_map.priors["weight"] == pytest.approx(0.2)
    np.testing.assert_allclose(damage_map.buildings["prior_probability"], 0.5, atol=1e-6)
    own.write_text("wind: {m/s: {median: -30, beta: 0.3}}\n")
    with raises_naming(InputError, "m/s", "-30"):
        open_priors([f"wind:m/s={path}"], damage_map.images.post, own)


def test_priors_stand_beside_the_map_and_change_none_of_it(tmp_path, damage_map):
    before, headline = damage_map.buildings.copy(), damage_map.headline()
    ramp = np.broadcast_to(np.linspace(20, 90, GRID.shape[1], dtype="f4"), (1, *GRID.shape)).copy()
    half = ramp.copy()
    half[..., :128] = np.nan
    layers = [
        f"wind:m/s={write_raster(tmp_path / 'wind.tif', ramp)}",
        f"shakemap:%g={write_raster(tmp_path / 'pga.tif', half)}",
    ]
    damage_map.add_priors(open_priors(layers, damage_map.images.post))
    pd.testing.assert_frame_equal(damage_map.buildings[before.columns], before)
    assert damage_map.headline() == headline
    frame, priors = damage_map.buildings, damage_map.priors
    assert frame["prior_probability"].notna().all(), "also where nothing was assessed"
    assert (frame["damage_prob_with_prior"].isna() == (frame["status"] != "assessed")).all()
    assert [source["buildings"] for source in priors["sources"]] == [60, 28]
    middle = frame.geometry.centroid.x.to_numpy()
    speed = 20 + 70 * (middle - GRID.extent.boundingbox.left) / 128
    left = middle < np.median(middle) - 8
    np.testing.assert_allclose(
        frame["prior_probability"][left], np.clip(lognorm(0.16, scale=54.5).cdf(speed[left]), 0.01, 0.99), atol=0.02
    )
    both = expit(
        (
            logit(np.clip(lognorm(0.16, scale=54.5).cdf(speed), 0.01, 0.99))
            + logit(np.clip(lognorm(0.64, scale=26).cdf(speed), 0.01, 0.99))
        )
        / 2
    )
    np.testing.assert_allclose(
        frame["prior_probability"][~left & (middle > np.median(middle) + 8)],
        both[~left & (middle > np.median(middle) + 8)],
        atol=0.02,
    )
    finding = next(each for each in damage_map.findings if each.code == "prior_used")
    assert "From the images only, 13 (7–22) of" in finding.message
    assert "with the prior of wind, shakemap: " in finding.message
    assert f"Of {(frame['status'] != 'assessed').sum()} buildings not assessed, " in finding.message
    areas = count_areas(
        frame,
        find_areas("grid:64", frame),
        damage_map.estimates,
        Layer.open(np.ones((1, *GRID.shape), "f4"), grid=GRID),
    )
    assert areas["damaged_with_prior"].sum() == pytest.approx(frame["damage_prob_with_prior"].sum(), abs=0.01)
    np.testing.assert_allclose(
        areas["people_exposed_with_prior"], areas["people"] * areas["damaged_with_prior"] / areas["assessed"], atol=1e-3
    )
    paths = damage_map.save(tmp_path / "out", also=["csv"])
    assert json.loads(paths["summary.json"].read_text())["priors"] == priors
    assert DamageMap.load(tmp_path / "out").priors == priors
    table = pyogrio.read_dataframe(paths["damage.gpkg"], layer="buildings")
    np.testing.assert_array_equal(table["damage_prob_with_prior"], frame["damage_prob_with_prior"])


def test_a_prior_measured_as_evidence_is_that_of_the_finished_map(tmp_path):
    city, settings = City(seed=3, size_px=256), Settings(network=False, workers=1)
    pre, post = (Layer.open(one.image, grid=one.grid) for one in (city.pre, city.post))
    ramp = np.broadcast_to(np.linspace(20, 90, post.shape[1], dtype="f4"), (1, *post.shape)).copy()
    layers = open_priors([f"wind:m/s={write_raster(tmp_path / 'wind.tif', ramp, post.grid)}"], post)
    inputs = open_inputs(pre, post, city.footprints(), settings)
    alone, together = (assess_inputs(given, settings) for given in (inputs, replace(inputs, priors=tuple(layers))))
    assert not alone.priors
    alone.add_priors(layers)
    pd.testing.assert_frame_equal(pd.DataFrame(together.buildings), pd.DataFrame(alone.buildings))
    assert (together.priors, together.findings, together.inputs) == (alone.priors, alone.findings, alone.inputs)


def made_up_site(seed, sign=TRUE, number=150, skill=1.2):
    """Buildings whose damage follows a field, images that show it with noise, and a prior that knows the field, the contrary, or nothing."""
    rng = np.random.default_rng(seed)
    field = rng.normal(0, 1.5, number) + rng.normal(-0.8, 0.8)
    truth = rng.random(number) < expit(field)
    share = float(np.clip(expit(field).mean(), 0.02, 0.98))
    shift = rng.normal(0, 0.5)
    evidence = skill * (rng.normal(0, 1, number) + np.where(truth, 0.6, -0.6))
    seen = np.arange(number) % 5 > 0
    prob = expit(evidence + logit(share) + shift)
    frame = pd.DataFrame({"damage_prob": np.where(seen, prob, np.nan), "status": np.where(seen, "assessed", "not_assessed"),
                          "reason": np.where(seen, "", "under cloud"), "method": "pre_post"})  # fmt: skip
    ends = [float(expit(evidence + logit(share) + shift + off)[seen].sum()) for off in (0, -1.2, 1.2)]
    damaged = {"expected": ends[0], "interval_95": [max(ends[1] - 5, 0.0), min(ends[2] + 5, float(seen.sum()))]}
    prior = np.clip(expit(sign * field + rng.normal(0, 1) if sign else np.full(number, rng.normal(-1, 1))), 0.01, 0.99)
    return frame, prior, damaged, share, truth, seen


@pytest.mark.parametrize("sign", [TRUE, 0.0, REVERSED])
def test_intervals_hold_with_true_and_with_false_priors(sign):
    held, held_unseen, gains, weights = [], [], [], []
    for seed in range(24):
        frame, prior, damaged, share, truth, seen = made_up_site(seed, sign)
        probability, result = combine(frame, prior, damaged, share, seed=seed)
        low, high = result["with_prior"]["interval_95"]
        held.append(low <= truth[seen].sum() <= high)
        low, high = result["not_assessed"]["interval_95"]
        held_unseen.append(low <= truth[~seen].sum() <= high)
        gains.append(
            roc_auc_score(truth[seen], probability[seen]) - roc_auc_score(truth[seen], frame["damage_prob"][seen])
        )
        weights.append(result["weight"])
    assert np.mean(held) >= 0.9
    assert np.mean(held_unseen) >= 0.9
    assert (
        np.mean(gains)
        == {
            TRUE: pytest.approx(0.05, abs=0.04),
            0.0: pytest.approx(0, abs=1e-3),
            REVERSED: pytest.approx(-0.05, abs=0.05),
        }[sign]
    )
    assert np.sign(np.round(np.mean(weights) - 0.25, 3)) == sign, "the weight follows the agreement with the images"


def test_what_images_show_clearly_stays_and_water_decides_alone():
    frame, prior, damaged, share, *_ = made_up_site(3, REVERSED)
    evidence = logit(frame["damage_prob"]) - logit(share)
    frame.loc[6, "method"] = "water"
    probability, result = combine(frame, prior, damaged, share, weight=1.0)
    clear = (expit(evidence) < 0.05) | (expit(evidence) > 0.95)
    clear[6] = True
    assert clear.sum() >= 5
    assert result["clear"] == clear.sum()
    np.testing.assert_allclose(probability[clear], frame["damage_prob"][clear], atol=1e-6)
    unclear = frame["damage_prob"].notna() & ~clear
    assert (np.abs(probability - frame["damage_prob"])[unclear] > 1e-4).all()


def test_where_no_image_shows_anything_the_prior_is_all_there_is():
    frame, prior, *_ = made_up_site(1)
    frame = frame.assign(status="not_assessed", damage_prob=np.nan, reason="under cloud")
    frame.loc[:29, "reason"] = Reason.NO_BUILDING.sentence
    nothing = {"expected": 0.0, "interval_95": [0.0, 0.0]}
    probability, result = combine(frame, prior, nothing, 0.5)
    assert np.isnan(probability).all()
    rest = result["not_assessed"]
    assert rest["buildings"] == 120
    low, high = rest["interval_95"]
    assert low < prior[30:].sum() < high
    assert high - low > 60, "a curve of elsewhere is wrong by a factor"


def test_answers_say_what_weight_a_prior_deserves():
    frame, prior, _, _, truth, seen = made_up_site(7, TRUE, number=400, skill=0.7)
    grades = np.where(frame["damage_prob"] > 0.5, "destroyed", "no-damage").astype(object)
    table = frame.assign(
        damage=np.where(seen, grades, None),
        confidence=frame["damage_prob"].clip(0.5),
        ev_nothing=0.0,
        damage_set="no-damage,destroyed",
    )
    answers = {row: "destroyed" if truth[row] else "no-damage" for row in np.flatnonzero(seen)[::2]}
    others = seen.copy()
    others[list(answers)] = False

    def auc(buildings):
        return roc_auc_score(truth[others], teach(buildings, answers).buildings["damage_prob"][others])

    assert auc(table.assign(prior_probability=prior)) > auc(table) + 0.05
    assert auc(table.assign(prior_probability=1 - prior)) > auc(table) + 0.05, "also of a reversed one"


def test_the_room_of_a_prior_is_one_where_images_say_nothing_and_none_where_they_are_sure() -> None:
    probability = np.array([0.5, 0.2, 0.8, 0.05, 0.95, 0.01, 0.999])
    room = combination._room(np.log(probability / (1 - probability)))
    doubt = [p * (1 - p) for p in probability]
    expected = [max((each - 0.05 * 0.95) / (0.25 - 0.05 * 0.95), 0.0) for each in doubt]
    np.testing.assert_allclose(room, expected, atol=1e-12)
    assert room[0] == 1
    assert room[1] == pytest.approx((0.16 - 0.0475) / 0.2025)
    assert room[3:].max() < 1e-9
    assert room.min() >= 0


def test_buildings_that_were_not_seen_scatter_by_one_in_log_odds_as_areas_do() -> None:
    zero, one = np.zeros(combination.DRAWS), np.ones(combination.DRAWS)
    rest = combination._unseen(np.zeros(10_000), one, zero, np.random.default_rng(0))
    assert rest["expected"] == pytest.approx(5000, abs=150)
    assert rest["interval_95"] == pytest.approx([10_000 * expit(-1.96), 10_000 * expit(1.96)], abs=300)
    assert combination.LOCAL_SD_LOG_ODDS == LOCAL_SPREAD


def test_a_sum_by_steps_of_log_odds_is_near_that_of_each_building() -> None:
    log_odds = np.linspace(-1, 1, 2001)
    by_steps, exact = (
        np.array([combination._sums(one)[30] for one in log_odds[:, None]]),
        expit(log_odds),  # SHIFTS[30] is none
    )
    assert np.abs(by_steps - exact).max() == pytest.approx(0.1 / 2 / 4, rel=0.02)


def test_a_prior_moves_damage_between_buildings_and_leaves_the_number_as_it_is() -> None:
    rng = np.random.default_rng(2)
    images, offsets, free = rng.normal(0, 2, 80), rng.normal(1, 1, 80), rng.uniform(0, 1, 80)
    moved = combination._balanced(images, offsets, free)
    assert expit(moved).sum() == pytest.approx(expit(images).sum(), abs=0.1)
    constant = (images + offsets - moved) / free
    np.testing.assert_allclose(constant, constant[0])
    assert constant[0] > 0, "offsets of more damage are taken back"


def test_a_prior_that_says_what_the_images_say_leaves_their_probabilities() -> None:
    frame, _, damaged, share, _, seen = made_up_site(4)
    middle, low, high = damaged["expected"], *damaged["interval_95"]
    alike = np.full(len(frame), middle / seen.sum())
    probability, _ = combine(frame, alike, {"expected": middle, "interval_95": [low, high]}, share)
    np.testing.assert_allclose(probability[seen], frame["damage_prob"][seen], atol=0.03)


@pytest.mark.parametrize("byte", [0, 51, 102, 255])
def test_a_byte_is_a_share_of_255(byte: int, tmp_path, damage_map) -> None:
    places = damage_map.buildings.geometry.to_numpy()
    stored = write_raster(tmp_path / "byte.tif", np.full((1, *GRID.shape), byte, "u1"))
    (layer,) = open_priors([f"dpm={stored}"], damage_map.images.post)
    np.testing.assert_allclose(layer.measure_in(places, 1).intensities, byte / 255, rtol=1e-6)
