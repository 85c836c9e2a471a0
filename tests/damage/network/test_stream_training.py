"""The training of the default damage network, whole, on a few windows; and what it starts from."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import shapely
import torch
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from deepnets4eo.cards import Legend
from deepnets4eo.damage import DamageRecipe, GradedPair, MadeUpPairs, train_damage
from deepnets4eo.damage.network import NetworkGrader
from deepnets4eo.damage.network.scoring import (
    GradedHeads,
    LogitsAndGrades,
    damage_probability,
    evenly_graded,
    group_scores,
    head_scores,
)
from deepnets4eo.damage.network.training import build_untrained
from deepnets4eo.damage.site.skill import validated_skill
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters import InputSpec, LayerInput, NetworkSegmenter
from deepnets4eo.segmenters.run import save_run
from deepnets4eo.training import TrainOptions
from deepnets4eo.training.ranks import run_ranks
from deepnets4eo.training.recipe import resolve

TINY = [
    "data.source=made-up", "train.losses={}", "train.ordinal=true", "model.stored=float16", "train.monitor=auc",
    "data.tile_px=32", "data.windows_per_epoch=4", "data.windows_per_pair=1", "train.batch_size=2",
    "train.epochs=1", "train.precision=float32", "model.decoder_channels=[16, 16, 8]", "predict.tile_px=64",
    "predict.halo_px=0",
]  # fmt: skip


def make_pair(seed: int) -> GradedPair:
    """Four houses; post is brighter where one is damaged."""
    rng = np.random.default_rng(seed)
    outlines = np.array([shapely.box(x, y, x + 12, y + 12) for x in (4, 40) for y in (4, 40)], dtype=object)
    pre, post = rng.integers(40, 90, (2, 4, 64, 64)).astype(np.uint8)
    grades = rng.permutation(4).astype(np.uint8)
    for outline, grade in zip(outlines, grades, strict=True):
        left, top, right, bottom = map(int, outline.bounds)
        post[:, top:bottom, left:right] += np.uint8(50 * grade)
    return GradedPair(pre, post, outlines, grades, grades, 0.5, "suburb", "flood")


def made_up(*validated: int) -> MadeUpPairs:
    return MadeUpPairs(make_pair, [make_pair(seed) for seed in validated], lambda image, rng: image[:3])


def recipe_of(*words: str) -> DamageRecipe:
    return resolve({}, [*TINY, *words], kind=DamageRecipe)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("stream") / "run"
    return train_damage(recipe_of(), out, TrainOptions(device="cpu"), made_up(100, 101))


def test_the_run_grades_with_both_heads_and_its_card_has_a_skill_of_each(run):
    grader = NetworkGrader.load(run, device="cpu")
    assert grader.post_temperature is not None
    card = grader.run.card
    assert card["segmenter"]["stored"] == "float16"
    assert card["notes"]["split"]["buildings"]["val"] == dict.fromkeys(Legend.load("xbd").names, 2)
    assert validated_skill(card).reason.startswith("it was validated on 8 buildings")
    assert validated_skill(card, "post_alone").reason.startswith("it was validated on 8 buildings")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["groups"]["style suburb"]["buildings"] == 8
    assert (run / "weights.safetensors").stat().st_size < 20e6


def test_rare_grades_are_half_way_between_as_rare_and_as_common_as_the_other_of_their_side(run):
    grader = NetworkGrader.load(run, device="cpu")
    np.testing.assert_allclose(grader.grade_odds, 0, atol=1e-12)  # two of each grade were validated
    counts = dict(zip(Legend.load("xbd").names, (89, 9, 49, 49), strict=True))
    notes = grader.run.card["notes"] | {"split": {"buildings": {"val": counts}}}
    rare = replace(grader, run=replace(grader.run, card=grader.run.card | {"notes": notes}))
    assert np.exp(rare.grade_odds[0] - rare.grade_odds[1]) == pytest.approx(3.0)  # the root of 90 to 10
    np.testing.assert_allclose(rare.grade_odds[2:], 0, atol=1e-12)
    plain = replace(grader, run=replace(grader.run, card=grader.run.card | {"notes": notes | {"even_grades": False}}))
    np.testing.assert_array_equal(plain.grade_odds, np.zeros(4))


def test_minutes_that_are_over_end_a_training_which_can_be_resumed(run):
    before = (run / "weights.safetensors").read_bytes()
    options = TrainOptions(device="cpu", resume=True, minutes=0)
    train_damage(recipe_of(), run, options, made_up(100))
    assert (run / "weights.safetensors").read_bytes() == before


def test_a_training_on_kept_pairs_that_goes_on_ends_in_the_same_bits(tmp_path):
    words = [
        "train.epochs=3",
        "data.kept_pairs=3",
        f"data.pairs_folder={tmp_path / 'pairs'}",
        "train.lr=0.01",
        "train.keep=last",
    ]
    runs = [tmp_path / name for name in ("whole", "cut")]
    train_damage(recipe_of(*words), runs[0], TrainOptions(device="cpu"), made_up(100))
    for options in ({"minutes": 0}, {"minutes": 0, "resume": True}, {"resume": True}):
        train_damage(recipe_of(*words), runs[1], TrainOptions(device="cpu", **options), made_up(100))
    whole, cut = ((run / "weights.safetensors").read_bytes() for run in runs)
    assert whole == cut
    assert len(list((tmp_path / "pairs").glob("*/*.npz"))) == 3


def test_pairs_kept_in_the_run_stay_while_it_can_be_resumed_and_leave_with_its_last_epoch(tmp_path, caplog):
    recipe, out = recipe_of("train.epochs=2", "data.kept_pairs=3"), tmp_path / "run"
    with caplog.at_level("INFO", logger="deepnets4eo"):
        train_damage(recipe, out, TrainOptions(device="cpu", minutes=0), made_up(100))
    assert list((out / "pairs").glob("*/*.npz"))
    assert str(out / "pairs") in caplog.text
    train_damage(recipe, out, TrainOptions(device="cpu", resume=True), made_up(100))
    assert not (out / "pairs").exists()
    assert (out / "weights.safetensors").exists()


def train_and_resume(folder: Path) -> None:
    """One of two processes: a whole training, one that ends after an epoch, and its resumption."""
    from torch import distributed

    recipe = recipe_of(
        "train.epochs=3", "train.lr=0.01", "train.keep=last", "train.batch_size=8", "data.windows_per_epoch=16"
    )
    for name, options in (("whole", {}), ("cut", {"minutes": 0}), ("cut", {"resume": True})):
        with suppress(SystemExit):  # the second process only learns
            train_damage(recipe, folder / name, TrainOptions(device="cpu", **options), made_up(100))
        distributed.barrier()


def test_grades_met_by_two_processes_are_counted_together_and_survive_a_resumption(tmp_path):
    run_ranks(2, train_and_resume, tmp_path)
    whole, cut = ((tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "cut"))
    assert whole == cut


BOTH = InputSpec({"pre": LayerInput.display_rgb, "post": LayerInput.display_rgb}, 0.5)


def test_it_starts_from_the_unet_that_labels_pixels(tmp_path):
    torch.manual_seed(3)
    unet = NetworkSegmenter(
        {"name": "light-unet"}, InputSpec({"image": LayerInput.display_rgb}, 0.5), Legend.load("xbd")
    )
    save_run(unet, tmp_path / "unet")
    recipe = recipe_of(f"model.start={tmp_path / 'unet'}", "model.decoder_channels=[128, 64, 48]")
    twin = build_untrained(recipe, BOTH).module.twin.state_dict()
    known = unet.module.state_dict()
    assert twin.keys() == {name for name in known if not name.startswith("segmentation_head")}
    for name, value in twin.items():
        torch.testing.assert_close(value, known[name], msg=name)
    with pytest.raises(RunError, match="Start from a run of the same"):
        build_untrained(
            recipe_of(f"model.start={tmp_path / 'unet'}", "model.unet=unet", "model.encoder=resnet50"), BOTH
        )


def test_it_goes_on_from_a_run_of_its_own_kind_with_both_heads(run):
    grown = build_untrained(recipe_of(f"model.start={run}"), BOTH).module.state_dict()
    known = NetworkGrader.load(run, device="cpu").run.segmenter.module.state_dict()
    for name, value in known.items():
        torch.testing.assert_close(grown[name], value, msg=name)


def test_scores_are_those_of_scikit_learn_and_the_evenly_drawn_have_equal_grades():
    rng = np.random.default_rng(0)
    grades = rng.choice(4, 300, p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)
    logits = rng.normal(0, 1, (300, 4)) + 2 * np.eye(4)[grades]
    graded = LogitsAndGrades(logits, grades)
    scores = head_scores(graded, even=True)
    assert scores["kappa"] == pytest.approx(cohen_kappa_score(grades, logits.argmax(axis=1)))
    damage = damage_probability(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    assert scores["auc_major_or_worse"] == pytest.approx(roc_auc_score(grades >= 2, damage))
    assert len(set(np.bincount(evenly_graded(graded).grades))) == 1
    names = np.array(["a"] * 150 + ["b"] * 150, dtype=object)
    every = np.stack(["style " + names, "hazard " + names], axis=1)
    groups = group_scores(GradedHeads(graded, replace(graded), grades, every))
    assert groups["style a"]["buildings"] + groups["style b"]["buildings"] == 300
    intact = grades[:150] == 0
    assert groups["hazard a"]["false_alarms"] == pytest.approx((damage[:150][intact] >= 0.5).mean())
