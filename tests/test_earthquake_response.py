"""The experiment on the challenge: who votes where both images serve and where the gate refuses the pair; turns move no ground."""

from pathlib import Path
from types import SimpleNamespace

import earthquake_response
import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from challenge import ChallengeSite, read_labels
from earthquake_response import (
    RECIPE,
    VOTE,
    SiteResult,
    VoteRecipe,
    final_score,
    grade_site,
    hand_in,
    looks_of_neighbours,
    table,
    turn_layer,
)

from deepnets4eo.damage.network.look_model import LookModel
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_yaml
from deepnets4eo.footprints import read_footprints
from deepnets4eo.grid import Grid
from deepnets4eo.options import options_from
from deepnets4eo.rasters import Layer

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"
CRS = "EPSG:32637"
VOTERS = {
    "both": {},
    "turned": {"quarter_turns": 1},
    "plain": {"settings": {"network": False}},
    "alone": {"pre": False},
}
CALLS = {"both": "yyn", "turned": "ynn", "plain": "yny", "alone": "nnn"}
GRADES = {"y": "destroyed", "n": "no-damage"}


@pytest.fixture
def site(tmp_path: Path) -> ChallengeSite:
    outlines = [shapely.box(10 * number, -6, 10 * number + 5, -1) for number in range(3)]
    path = tmp_path / "town.gpkg"
    gpd.GeoDataFrame({"damaged": [1, 0, None]}, geometry=outlines, crs=CRS).to_file(path)
    footprints = read_footprints(path)
    image = Layer.open(
        np.arange(600, dtype=np.uint16).reshape(1, 15, 40), grid=Grid((15, 40), Affine(1, 0, 0, 0, -1, 0), CRS)
    )
    return ChallengeSite("town", path, footprints, read_labels(footprints), image, image)


def run(
    site: ChallengeSite, monkeypatch: pytest.MonkeyPatch, refused: tuple[str, ...] = (), by: str = "grade"
) -> SiteResult:
    """The vote of jobs that answer as `CALLS` says, the image before being refused to some of them."""
    voters = {name: {**voter, "by": by} for name, voter in VOTERS.items()}
    values = {"sites": {}, "voters": voters, "vote": ["both", "turned", "plain"], "fallback": ["alone"]}
    recipe = options_from(VoteRecipe, values, "recipe")

    def answer(pre, post, footprints, *, settings, event):
        of_both = "both" if post.shape == (15, 40) else "turned"
        name = "alone" if pre is None else of_both if settings.network else "plain"
        seen = pre is not None and name not in refused
        buildings = pd.DataFrame(
            {
                "id": footprints.frame["id"], "damage": [GRADES[call] for call in CALLS[name]], "status": "assessed",
                "damage_prob": [0.2, 0.3, 0.001], "method": "pre_post" if seen else "post_only",
            }
        )  # fmt: skip
        return SimpleNamespace(buildings=buildings, registration={"status": "ok" if seen else "failed"})

    monkeypatch.setattr(earthquake_response, "assess", answer)
    return grade_site(site, recipe)


def test_methods_whose_registration_is_refused_do_not_vote_and_without_any_the_fallback_does(site, monkeypatch) -> None:
    assert run(site, monkeypatch).calls[VOTE].tolist() == [1, 0, 0]
    two = run(site, monkeypatch, refused=("turned",))
    assert two.paired == ["both", "plain"]
    assert two.calls[VOTE].tolist() == [1, 1, 0]  # even: the first voter decides
    none = run(site, monkeypatch, refused=("both", "turned", "plain"))
    assert none.calls[VOTE].tolist() == [0, 0, 0]
    assert none.f1[VOTE] == 0
    assert none.f1["both"] == pytest.approx(2 / 3)


def test_voters_by_f1_call_the_likeliest_buildings_though_none_is_likely(site, monkeypatch) -> None:
    assert run(site, monkeypatch, by="f1").calls["alone"].tolist() == [1, 1, 0]


def test_a_site_is_handed_in_whole_and_its_row_stands_below_the_published_ones(site, monkeypatch, tmp_path) -> None:
    result = run(site, monkeypatch)
    result.calls[VOTE] = np.array([1, -1, 0], np.int8)
    assert gpd.read_file(hand_in(result, tmp_path / "out"))["damaged"].tolist() == [1, 0, 0]
    text = table([{"town": result}], "title")
    assert "| second place, both images | 0.889 | 0.750 | 0.829 | 0.848 | 0.82116 |" in text
    assert "| majority vote | 1.000 | 1.000 |" in text
    assert "3 buildings, 2 labelled, 1 damaged" in text


def test_means_of_all_methods_are_over_the_same_sites() -> None:
    def site_of(**f1: float) -> SimpleNamespace:
        site = SimpleNamespace(labels=np.array([1, 0], np.int8))
        return SimpleNamespace(f1=f1, calls=dict.fromkeys(f1), site=site, registration={}, paired=[], seconds=0.0)

    sites = {
        "town": site_of(one=0.5, two=0.75),
        "village": site_of(one=0.25, two=np.nan),
        "farm": site_of(one=0.75, two=0.25),
    }
    text = table([sites], "title")  # type: ignore[dict-item]
    assert "| one | 0.500 | 0.250 | 0.750 | 0.625 |" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| two |")]
    assert row.endswith("| 0.250 | 0.500 |")
    assert "- the mean leaves out village, where a method has no score" in text


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_a_turned_layer_has_turned_rows_over_the_same_ground(site, quarters: int) -> None:
    turned = turn_layer(site.post, quarters)
    assert (turned.read()[0][0] == np.rot90(site.post.read()[0][0], quarters)).all()
    assert turned.grid.extent.boundingbox == pytest.approx(site.post.grid.extent.boundingbox)


def test_the_recipe_is_whole_and_voters_that_are_none_are_refused() -> None:
    recipe = options_from(VoteRecipe, read_yaml(RECIPE), str(RECIPE))
    assert list(recipe.sites)[:4] == ["adiyaman", "antakya_east", "china", "marash"]
    places = {name.partition(",")[0] + ("2" if "area 2" in name else "") for name in recipe.sites}
    assert len(places) == 13, "the twelfth site of the first phase is in no public list"
    assert len({(one.footprints, one.post) for one in recipe.sites.values()}) == len(recipe.sites)
    values = {"sites": {}, "voters": VOTERS, "vote": ["both"], "fallback": ["both"]}
    for wrong in ({}, {"fallback": ["nowhere"]}):
        with pytest.raises(InputError, match="vote; expected names of voters, and in fallback such with pre: false"):
            options_from(VoteRecipe, values | wrong, "recipe")


def test_the_final_score_weighs_the_second_phase_more_and_unlabelled_sites_not_at_all() -> None:
    phases = {"a": 1, "b": 1, "c": 2, "d": 2}
    assert final_score({"a": 0.8, "b": 0.6, "c": 0.5, "d": float("nan")}, phases) == pytest.approx(
        0.4 * 0.7 + 0.6 * 0.5
    )
    assert np.isnan(final_score({"a": 0.8, "c": float("nan")}, phases))
    recipe = options_from(VoteRecipe, read_yaml(RECIPE), str(RECIPE))
    assert [name for name, files in recipe.sites.items() if files.phase == 2] == ["antakya_west", "mandalay"]


def labelled_site(name: str, labels: np.ndarray) -> SimpleNamespace:
    """A site of a row of buildings, whose first feature tells the damaged ones."""
    frame = gpd.GeoDataFrame(geometry=[shapely.Point(number, 0).buffer(0.4) for number in range(len(labels))], crs=CRS)
    post = SimpleNamespace(grid=SimpleNamespace(crs=CRS), labels=labels)
    return SimpleNamespace(name=name, post=post, footprints=SimpleNamespace(frame=frame), labels=labels)


def test_a_site_takes_the_look_of_the_labelled_buildings_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features(post: SimpleNamespace, outlines: np.ndarray) -> np.ndarray:
        values = np.random.default_rng(len(outlines)).normal(size=(len(outlines), 8))
        values[:, 0] += 4 * (np.maximum(post.labels, 0))
        return values

    monkeypatch.setattr(earthquake_response, "look_features", features)
    labels = {"east": np.arange(60) % 3 == 0, "west": np.arange(50) % 4 == 0, "north": np.arange(40) % 5 == 0}
    sites = [labelled_site(name, damaged.astype(np.int8)) for name, damaged in labels.items()]
    unlabelled = labelled_site("south", np.full(45, -1, np.int8))
    looks = looks_of_neighbours([*sites, unlabelled], tmp_path)
    assert sorted(looks) == ["east", "north", "south", "west"]
    assert LookModel.load(looks["south"]).card.buildings == 150
    assert LookModel.load(looks["east"]).card.buildings == 90  # its own labels have no part
    assert looks_of_neighbours([sites[0], sites[1]], tmp_path) == {}  # one neighbour leaves nothing to measure the fit
    assert set(looks_of_neighbours([sites[0], sites[1], unlabelled], tmp_path)) == {"south"}


def test_a_voter_of_neighbours_has_no_row_without_them(site, monkeypatch) -> None:
    voters = {"both": {}, "alone": {"pre": False}, "neighbours": {"neighbours": True}}
    recipe = options_from(
        VoteRecipe, {"sites": {}, "voters": voters, "vote": ["both"], "fallback": ["alone"]}, "recipe"
    )
    seen = []

    def answer(pre, post, footprints, *, settings, event):
        seen.append((settings.look, settings.look_from, event.is_earthquake))
        buildings = pd.DataFrame(
            {
                "id": footprints.frame["id"],
                "damage": "destroyed",
                "status": "assessed",
                "damage_prob": 0.9,
                "method": "pre_post",
            }
        )
        return SimpleNamespace(buildings=buildings, registration={"status": "ok"})

    monkeypatch.setattr(earthquake_response, "assess", answer)
    assert set(grade_site(site, recipe).calls) == {"both", "alone", VOTE}
    assert set(grade_site(site, recipe, Path("look")).calls) == {"both", "alone", "neighbours", VOTE}
    assert seen[-1] == (0.5, "look", True)
    assert {each[0] for each in seen[:-1]} == {None}
