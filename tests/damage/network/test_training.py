"""Training end to end on tiny folders: the run, its scores, and the same probabilities after loading it again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_up_pairs import write_bright, write_xbd
from scipy.special import softmax
from sklearn.metrics import confusion_matrix, roc_auc_score

from deepnets4eo.cards import Legend
from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageRecipe
from deepnets4eo.damage.network import NetworkGrader, read_pairs
from deepnets4eo.damage.network.architecture import DamageCriterion
from deepnets4eo.damage.network.pairs import box_centres, scaled_to
from deepnets4eo.damage.network.pooling import pool_scene
from deepnets4eo.damage.network.recipe import DamageData
from deepnets4eo.damage.network.scoring import LogitsAndGrades
from deepnets4eo.errors import RunError
from deepnets4eo.segmenters import load_run
from deepnets4eo.training.recipe import resolve

TINY = [
    "data.tile_px=64", "data.windows_per_epoch=4", "data.num_workers=0", "data.split=scenes", "model.decoder_channels=[16, 16, 8]",
    "train.epochs=2", "train.batch_size=2", "predict.tile_px=64", "predict.halo_px=8", "train.precision=float32",
]  # fmt: skip


def train(folder: Path, out: Path, *more: str) -> int:
    settings = [word for setting in (*TINY, *more) for word in ("--set", setting)]
    return main(["train", "damage-pairs", "--data", str(folder), "--device", "cpu", "--out", str(out), *settings])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An xBD folder and a run trained on it."""
    root = tmp_path_factory.mktemp("pairs")
    folder = write_xbd(root / "xbd", (3, 4))
    assert train(folder, root / "run") == 0
    return folder, root / "run"


@pytest.mark.core("the only training of the damage network")
def test_a_run_is_the_usual_folder_and_says_what_it_learnt_from(trained):
    _, run = trained
    names = {path.name for path in run.iterdir()}
    assert {"card.json", "weights.safetensors", "recipe.yaml", "legend.yaml", "log.csv", "metrics.json"} <= names
    assert {"confusion.csv", "curves.png", "split.geojson"} <= names
    loaded = load_run(run)
    assert (loaded.inputs.names, loaded.inputs.in_channels, loaded.inputs.gsd_m) == (["pre", "post"], 6, 0.5)
    assert loaded.legend.names == Legend.load("xbd").names
    notes = loaded.card["notes"]
    assert notes["temperature"] > 0
    assert (
        sum(notes["split"]["buildings"]["val"].values()) == json.loads((run / "metrics.json").read_text())["buildings"]
    )
    assert notes["ignored_buildings"]["made-up-event-1_00000003"] == {"un-classified": 1}


@pytest.mark.core("the only training of the damage network")
def test_a_loaded_run_gives_the_scores_that_training_wrote(trained):
    folder, run = trained
    metrics, grader = json.loads((run / "metrics.json").read_text()), NetworkGrader.load(run, device="cpu")
    validated = metrics["protocol"]["split"]["validated"]
    pair = next(p for p in read_pairs(DamageData(folders=(str(folder),))) if p.name in validated)
    scaled = scaled_to(grader.run.inputs, pair.scene, box_centres(pair.outlines, pair.scene.shape))
    pooled = pool_scene(grader.run.segmenter, pair.scene, pair.outlines, scaled, grader.run.tiling).mean
    known = pair.grades != 255
    graded = LogitsAndGrades(pooled[known], pair.grades[known])
    assert metrics["confusion"] == graded.matrix.matrix.tolist()
    assert metrics["auc_major_or_worse"] == pytest.approx(graded.auc, abs=1e-9)
    assert metrics["temperature"] == pytest.approx(graded.temperature, rel=1e-6)
    probabilities = grader.grade(pair.scene, pair.outlines)
    np.testing.assert_allclose(probabilities, softmax(pooled / metrics["temperature"], axis=1), rtol=1e-9)


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    folder, run = trained
    assert train(folder, tmp_path / "again") == 0
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (run / "weights.safetensors").read_bytes()


def test_bright_folders_with_one_radar_band_are_trained_on(tmp_path):
    assert train(write_bright(tmp_path / "bright", (3, 4)), tmp_path / "run", "train.epochs=1") == 0
    assert load_run(tmp_path / "run").inputs.in_channels == 6


def test_pairs_are_learnt_from_the_weights_of_the_default_network_with_a_head_for_post_alone(tmp_path):
    """As its card says: the light U-Net at half resolution, whose run grades without a pre image."""
    folder = write_xbd(tmp_path / "xbd", (3, 4))
    shape = ("model.unet=light-unet", "model.decoder_channels=null", "train.post_loss=0.7")
    assert train(folder, tmp_path / "run", "model.start=damage-network", "train.epochs=1", *shape) == 0
    grader = NetworkGrader.load(tmp_path / "run", device="cpu")
    assert grader.post_temperature is not None
    scores = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert scores["post_alone"]["buildings"] == scores["buildings"] > 0
    assert grader.run.card["notes"]["validation"]["auc_major_or_worse"] == scores["auc_major_or_worse"]


def test_wrong_input_is_explained(trained, tmp_path, capsys):
    folder, _ = trained
    assert train(folder, tmp_path / "a", "data.tiles_px=64") == 2
    assert "unknown key 'data.tiles_px'. Did you mean 'data.tile_px'?" in capsys.readouterr().err
    assert train(folder, tmp_path / "b", "model.encoder=resnet999") == 2
    assert "encoder 'resnet999' is unknown. Did you mean 'resnet50'" in capsys.readouterr().err
    assert train(tmp_path, tmp_path / "c", "data.layout=bright") == 2
    assert "no folders pre-event, post-event, target" in capsys.readouterr().err
    assert not any((tmp_path / name).exists() for name in "abc")


def test_runs_of_another_task_are_refused(trained, tmp_path):
    _, run = trained
    from deepnets4eo.segmenters.run import save_run

    loaded = load_run(run)
    save_run(loaded.segmenter, tmp_path / "other", notes={})
    with pytest.raises(RunError, match="does not grade buildings from pre and post. Give a run of"):
        NetworkGrader.load(tmp_path / "other")


def test_buildings_count_alike_in_the_loss_whatever_their_size():
    recipe = resolve({"train": {"building_loss": 1.0}}, kind=DamageRecipe)
    criterion = DamageCriterion(recipe.train, Legend.load("xbd"), [1, 1, 1, 1])
    logits = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    building = torch.zeros(1, 8, 8, dtype=torch.int64)
    building[0, :6], building[0, 7, 7] = 1, 2
    mask = torch.full((1, 8, 8), 255)
    mask[0, :6], mask[0, 7, 7] = 3, 0
    batch = {"building": building, "mask": mask, "valid": torch.ones(1, 8, 8, dtype=torch.bool)}
    means = torch.stack([logits[0, :, :6].mean(dim=(1, 2)), logits[0, :, 7, 7]])
    expected = F.cross_entropy(means, torch.tensor([3, 0]))
    torch.testing.assert_close(criterion.of_buildings(logits, None, batch), expected)
    nothing = {**batch, "valid": torch.zeros(1, 8, 8, dtype=torch.bool)}
    assert float(criterion.of_buildings(logits, None, nothing)) == 0


def test_scores_of_buildings_against_scikit_learn():
    rng = np.random.default_rng(0)
    graded = LogitsAndGrades(rng.normal(size=(200, 4)), rng.integers(0, 4, 200).astype(np.uint8))
    assert graded.matrix.matrix.tolist() == confusion_matrix(graded.grades, graded.logits.argmax(axis=1)).tolist()
    odds = np.exp(graded.logits)
    score = odds[:, 2:].sum(axis=1) / odds.sum(axis=1)
    assert graded.auc == pytest.approx(roc_auc_score(graded.grades >= 2, score), abs=1e-12)
    assert np.isnan(replace(graded, grades=np.zeros(200, np.uint8)).auc)
    assert np.isnan(LogitsAndGrades(np.zeros((0, 4)), np.zeros(0, np.uint8)).loss)
