"""Buildings without a grade: which are drawn, their mean logits, and a training that learns from them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from geotiff import write_geotiff
from made_up_pairs import write_xbd
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.cards.legend import VOID
from deepnets4eo.damage.network.datasets import read_pairs, read_ungraded
from deepnets4eo.damage.network.pairs import measure_pairs
from deepnets4eo.damage.network.recipe import DamageData, DamageRecipe
from deepnets4eo.damage.network.samples import BuildingSplit, PairSamples, ungraded_samples
from deepnets4eo.damage.network.training import TrainingPairs, add_ungraded, build_untrained
from deepnets4eo.errors import InputError
from deepnets4eo.training.recipe import resolve
from deepnets4eo.training.splits import SplitRule, assign_blocks
from deepnets4eo.training.tasks import TrainOptions

SMALL = (
    "data.tile_px=64", "data.windows_per_epoch=2", "data.num_workers=0", "model.decoder_channels=[16, 16, 8]", "train.epochs=1",
    "train.batch_size=2", "predict.tile_px=64", "predict.halo_px=8", "train.photometric=0", "train.post_loss=0",
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of which two buildings have no grade, pairs of which none has, and pairs whose buildings all have one; SYNTHETIC."""
    root = tmp_path_factory.mktemp("pairs")
    for name, seeds, unclassified in (("some", (3, 4), 2), ("none", (5,), 99), ("all", (3, 4), 0)):
        write_xbd(root / name, seeds, unclassified)
    return root


def recipe_of(folders: Path, data: str, *overrides: str) -> DamageRecipe:
    folder = f"data.folders=[{folders / data}]"
    return resolve({}, [*SMALL, folder, "unlabelled.method=fixmatch", *overrides], kind=DamageRecipe)


def material_of(recipe: DamageRecipe) -> TrainingPairs:
    """All pairs, learnt from as a whole."""
    pairs = read_pairs(recipe.data)
    split = BuildingSplit(
        pairs, assign_blocks(pairs, SplitRule("scenes", 0.0, 0)), "scenes", train=[pair.grades for pair in pairs]
    )
    samples = PairSamples(split, measure_pairs(pairs), recipe)
    return TrainingPairs(samples, samples.inputs, None, split=split)  # type: ignore[arg-type]


def test_windows_lie_around_buildings_without_a_grade_and_number_them_alone(folders: Path) -> None:
    recipe = recipe_of(folders, "some", f"data.unlabelled=[{folders / 'none'}]")
    material = material_of(recipe)
    further = read_ungraded(recipe.data)
    assert all((pair.grades == VOID).all() for pair in further)
    samples = ungraded_samples(material.split, further, material.inputs, recipe)  # type: ignore[arg-type]
    assert [int((grades == 0).sum()) for grades in samples.split.train[:2]] == [2, 2]
    assert (samples.split.train[2] == 0).all()
    seen = [samples.read(window) for epoch in range(3) for window in samples.windows(epoch)]
    assert all(sample["building"].max() > 0 for sample in seen)
    for window in samples.windows(0):
        if window.pair < 2:
            graded = samples.split.scenes[window.pair].grades != VOID
            painted = samples.split.scenes[window.pair].outlines.paint(window.window)
            of_graded = (painted >= 0) & graded[painted]
            assert (samples.read(window)["building"][of_graded] == 0).all()


def test_the_loss_is_of_mean_logits_of_buildings(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepnets4eo.training.unlabelled.strong_in_place", lambda images: images)
    recipe = recipe_of(folders, "some", "unlabelled.threshold=0.01")
    material = material_of(recipe)
    segmenter = build_untrained(recipe, material.inputs)
    samples, criterion = add_ungraded(material, recipe, segmenter, lambda *_: torch.tensor(0.0))
    batch = {name: torch.from_numpy(array)[None] for name, array in samples.read(samples.windows(0)[0]).items()}
    assert batch["unlabelled_image_pre"].shape == (1, 1, 3, 64, 64)
    building = (batch["unlabelled_building"] * batch["unlabelled_valid"])[0, 0]
    images = torch.cat([batch["unlabelled_image_pre"], batch["unlabelled_image_post"]], dim=2)[0]
    network = segmenter.module.eval()
    with torch.no_grad():
        logits = network(images * batch["unlabelled_valid"][0][:, None])[0]
        means = torch.stack([logits[:, building == one].mean(dim=1) for one in building.unique() if one > 0])
        expected = -means.log_softmax(dim=1).amax(dim=1).mean()
        torch.testing.assert_close(criterion.of_unlabelled(network, batch), expected, rtol=1e-4, atol=1e-5)
    criterion.detach(network)
    assert not hasattr(network, "consistency")


def test_a_training_learns_from_pairs_without_grades(folders: Path, tmp_path: Path) -> None:
    recipe = recipe_of(folders, "all", f"data.unlabelled=[{folders / 'none'}]", "data.split=scenes")
    run = deepnets4eo.train(recipe, tmp_path / "run", options=TrainOptions(device="cpu"))
    assert not any("consistency" in name for name in load_file(run / "weights.safetensors"))


def test_what_has_no_building_without_a_grade_or_other_bands_is_refused(folders: Path, tmp_path: Path) -> None:
    recipe = recipe_of(folders, "all")
    material = material_of(recipe)
    with pytest.raises(InputError, match=r"buildings without a grade, and there is none.*data\.unlabelled"):
        ungraded_samples(material.split, [], material.inputs, recipe)  # type: ignore[arg-type]
    other = write_xbd(tmp_path / "other", (5,))
    for path in (other / "images").iterdir():
        write_geotiff(path, np.full((1, 128, 128), 9, np.uint8), crs=None, driver="PNG")
    further = read_ungraded(DamageData(unlabelled=(str(other),)))
    with pytest.raises(InputError, match="1 bands, those of training have 3"):
        ungraded_samples(material.split, further, material.inputs, recipe)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="all made-up buildings have a grade"):
        resolve({}, ["data.source=made-up", "unlabelled.method=fixmatch"], kind=DamageRecipe)
