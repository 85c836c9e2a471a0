"""One training of made-up sites writes two runs that any prediction opens; it is resumed, and told when to end."""

from pathlib import Path
from shutil import copytree
from types import SimpleNamespace

import numpy as np
import pytest
from refusals import raises_naming

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from world.cover_criterion import CoverScorer  # noqa: E402
from world.cover_network import (  # noqa: E402
    HEAD_KEYS,
    RUNS,
    WorldRecipe,
    cover_of_runs,
    lower_background,
)

from deepnets4eo.errors import InputError  # noqa: E402
from deepnets4eo.rasters import Layer  # noqa: E402
from deepnets4eo.segmenters import load_run  # noqa: E402
from deepnets4eo.training import TrainOptions, load_recipe, train  # noqa: E402
from deepnets4eo.training.recipe import resolve  # noqa: E402

SMALL = (
    "data.world=city", "data.size_px=128", "data.tile_px=64", "data.windows_per_epoch=4", "data.validation_pairs=1",
    "train.batch_size=2", "data.num_workers=0", "model.options={decoder_channels: [8, 8, 8]}", "predict.tile_px=64",
    "predict.halo_px=16", "predict.overlap_px=16",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("world") / "out"
    return train("buildings", out, overrides=SMALL, options=TrainOptions("cpu", minutes=0.0))


@pytest.mark.parametrize(("name", "num_classes"), [("landcover", 7), ("buildings", 3)])
def test_both_outputs_are_runs_in_half_precision(trained: Path, name: str, num_classes: int) -> None:
    run = load_run(trained / name)
    assert run.legend.name == name
    assert run.inputs.gsd_m == 0.5
    assert run.card["notes"]["synthetic"] is True
    batch = np.zeros((1, 3, 64, 64), np.float32)
    assert run.segmenter.predict_classes(batch).max() < num_classes
    assert (trained / name / "weights.safetensors").stat().st_size < 20e6


def test_the_outputs_are_those_of_the_network_that_was_trained(trained: Path) -> None:
    both = [load_run(trained / name).segmenter.module.state_dict() for name in ("landcover", "buildings")]
    heads = [state.pop("segmentation_head.0.weight") for state in both]
    biases = [state.pop("segmentation_head.0.bias") for state in both]
    assert [len(head) for head in heads] == [len(bias) for bias in biases] == [7, 3]
    assert all(bool((both[0][key] == both[1][key]).all()) for key in both[0])


def test_the_network_of_both_outputs_is_put_together_from_its_runs(trained: Path) -> None:
    runs = [load_run(trained / name) for name in RUNS]
    both = cover_of_runs(resolve(runs[0].recipe, kind=WorldRecipe), trained).module.state_dict()
    states = [run.segmenter.module.state_dict() for run in runs]
    for key, value in both.items():
        if key in HEAD_KEYS:
            assert torch.equal(value, torch.cat([state[key] for state in states]))
        else:
            assert torch.equal(value, states[1][key])


def test_a_training_goes_on_where_it_ended_and_exports_without_learning(trained: Path) -> None:
    before = (trained / "buildings" / "weights.safetensors").read_bytes()
    train("buildings", trained, overrides=SMALL, options=TrainOptions("cpu", resume=True, minutes=0.0))
    assert (trained / "buildings" / "weights.safetensors").read_bytes() == before
    assert len((trained / "log.csv").read_text().splitlines()) == 2


@pytest.fixture(scope="module")
def trained_with_heights(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("heights") / "out"
    overrides = (*SMALL, "data.heights=true", f"data.start={trained}", "train.lr=1e-9")
    return train("buildings", out, overrides=overrides, options=TrainOptions("cpu", minutes=0.0))


def test_land_cover_learns_with_heights_from_where_one_without_ended(trained: Path, trained_with_heights: Path) -> None:
    assert not (trained_with_heights / "buildings").exists()
    run, former = load_run(trained_with_heights / "landcover"), load_run(trained / "landcover")
    assert run.inputs.layers["ndsm"].optional
    assert {"with_heights", "without_heights"} <= run.card["notes"]["validation"].keys()
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 3, 64, 64)).astype(np.float32)
    heights = rng.normal(size=(1, 1, 64, 64)).astype(np.float32)
    found, flat = (
        run.segmenter.predict_proba(np.concatenate([image, each], axis=1)) for each in (heights, 0 * heights)
    )
    np.testing.assert_allclose(found, flat, atol=1e-3)  # the first weights of heights are 0
    expected = former.segmenter.predict_proba(image)
    assert np.abs(found - expected).mean() < 0.02  # statistics of batches have moved


def test_one_without_heights_does_not_start_from_one_with_them(trained_with_heights: Path, tmp_path: Path) -> None:
    overrides = (*SMALL, f"data.start={trained_with_heights}")
    with pytest.raises(InputError, match="learnt with heights"):
        train("buildings", tmp_path / "none", overrides=overrides, options=TrainOptions("cpu", minutes=0.0))


def test_a_training_starts_from_one_of_its_runs(trained: Path, tmp_path: Path) -> None:
    overrides = (*SMALL, f"data.start={trained / 'buildings'}", "train.lr=1e-9")
    out = train("buildings", tmp_path / "out", overrides=overrides, options=TrainOptions("cpu", minutes=0.0))
    states = [load_run(folder / name).segmenter.module.state_dict()
              for folder, name in ((out, "buildings"), (out, "landcover"), (trained, "buildings"), (trained, "landcover"))]  # fmt: skip
    for key in ("encoder.conv1.weight", "segmentation_head.0.weight"):
        assert bool((states[0][key] == states[2][key]).all())
    counts = [load_run(folder / "buildings").card["notes"]["windows"] for folder in (trained, out)]
    assert counts[1] == 2 * counts[0] > 0
    assert not bool((states[1]["segmentation_head.0.weight"] == states[3]["segmentation_head.0.weight"]).all())


def test_a_training_starts_from_a_folder_of_runs_without_a_training(trained: Path, tmp_path: Path) -> None:
    for name in RUNS:
        copytree(trained / name, tmp_path / "mean" / name)
    overrides = (*SMALL, f"data.start={tmp_path / 'mean'}", "train.lr=1e-9")
    out = train("buildings", tmp_path / "out", overrides=overrides, options=TrainOptions("cpu", minutes=0.0))
    for name in RUNS:
        begun, former = (load_run(folder / name).segmenter.module.state_dict() for folder in (out, trained))
        assert torch.equal(begun[HEAD_KEYS[0]], former[HEAD_KEYS[0]])


def test_a_training_does_not_start_from_a_run_of_another_task(tmp_path: Path) -> None:
    overrides = (*SMALL, "data.start=damage-network")
    with raises_naming(InputError, '"light-unet"'):
        train("buildings", tmp_path / "out", overrides=overrides, options=TrainOptions("cpu", minutes=0.0))


def test_unknown_styles_are_refused() -> None:
    from world.cover_training import training_styles

    recipe, _ = load_recipe("buildings", overrides=["data.left_out_styles=[castle]"])
    with pytest.raises(InputError, match="unknown styles castle. Choose"):
        training_styles(recipe.data)
    recipe, _ = load_recipe("buildings", overrides=["data.styles=[suburb]", "data.left_out_styles=[suburb]"])
    with pytest.raises(InputError, match="no styles to learn from"):
        training_styles(recipe.data)


def test_a_third_of_a_mixture_are_suburbs() -> None:
    from world.cover_training import training_pairs, training_styles, validation_windows
    from world.surface import CityPair, is_city

    recipe, _ = load_recipe(
        "buildings",
        overrides=[*SMALL, "data.world=both", "data.styles=[suburb, village]", "data.left_out_styles=[village]"],
    )
    assert training_styles(recipe.data) == ("suburb", "city")
    assert [style for style, _ in validation_windows(recipe.data)] == ["suburb", "city", "village"]
    make = training_pairs(recipe.data)
    city, suburb = (next(seed for seed in range(9) if is_city(seed, "both") == wanted) for wanted in (True, False))
    pair = make(city)
    assert isinstance(pair, CityPair)
    assert (pair.style, make(suburb).style) == ("city", "suburb")
    assert np.mean([is_city(seed, "both") for seed in range(3000)]) == pytest.approx(1 / 3, abs=0.03)


def test_a_run_labels_a_raster(trained: Path) -> None:
    run = load_run(trained / "buildings")
    image = Layer.open(np.random.default_rng(0).integers(0, 255, (3, 64, 64), np.uint8))
    data, valid = image.read()
    batch = run.inputs.prepare({"image": data.astype(np.float32), "valid": valid})[None]
    assert run.segmenter.predict_proba(batch).sum(axis=1) == pytest.approx(1.0, abs=1e-4)


class Doubting(nn.Module):
    """A network that sees buildings by their brightness, and whose background is too high by 0.75."""

    def __init__(self) -> None:
        super().__init__()
        self.segmentation_head = nn.Sequential(nn.Conv2d(3, 10, 1))
        nn.init.zeros_(self.segmentation_head[0].weight)
        nn.init.zeros_(self.segmentation_head[0].bias)
        self.segmentation_head[0].weight.data[8] = 1.0
        self.segmentation_head[0].bias.data[7] = 0.75

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.segmentation_head(images)


def test_the_background_is_lowered_until_most_buildings_are_named() -> None:
    rng = np.random.default_rng(0)
    image = rng.uniform(-0.3, 0.3, (3, 32, 32)).astype(np.float32)
    truth = (image.sum(axis=0) > 0.02).astype(np.uint8)
    sample = {"image": image, "mask": truth, "buildings": truth}
    segmenter = SimpleNamespace(module=Doubting())
    scorer = CoverScorer([("suburb", sample)])
    before = scorer(segmenter)["iou.building"]
    lower_background(segmenter, scorer.best_shift(segmenter))
    assert before < 0.2
    assert scorer(segmenter)["iou.building"] > 0.9
