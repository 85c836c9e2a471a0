"""Change and land cover learnt together: each strategy trains by one command and predicts classes from → to."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_up_covers import COVER, LAYERS, covers, write_covers
from refusals import raises_naming
from safetensors.torch import load_file

import deepnets4eo
from deepnets4eo.change.training import CoverRecipe, open_covers, score_covers
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import load_run
from deepnets4eo.training import TrainOptions, prepare
from deepnets4eo.training.recipe import resolve

SMALL = [
    "data.tile_px=32", "data.windows_per_epoch=4", "data.num_workers=0", "train.batch_size=4", "train.epochs=1",
    "data.split=scenes", "data.val_share=0.5", "train.class_weighting=median_frequency", "predict.tile_px=96",
    "predict.halo_px=0", "train.monitor=f1.change",
]  # fmt: skip
PAIR = ["model.encoder=mobilenet_v2", "model.options.decoder_channels=[8, 8]"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_covers(tmp_path_factory.mktemp("covers"))


def recipe(strategy: str, *overrides: str, network: str = "hrscd") -> CoverRecipe:
    values: dict[str, Any] = {
        "task": "change-cover",
        "legend": "change",
        "data": {"layers": LAYERS},
        "model": {"network": network, "layers": ["image_pre", "image_post"]},
        "cover": {"legend": COVER, "strategy": strategy},
    }
    return resolve(values, [*SMALL, *overrides], kind=CoverRecipe)


def weights(path: Path, part: str) -> dict[str, torch.Tensor]:
    """Tensors of a part of the network, by their names within it."""
    names = {
        name: value for name, value in load_file(path).items() if part in name and not name.startswith("optimizer")
    }
    return {name[name.index(part) :]: value for name, value in names.items()}


def test_land_cover_is_learnt_first_and_stays_as_it_is_while_change_is_learnt(data: Path, tmp_path: Path) -> None:
    one = recipe("sequential", "cover.epochs=2", *PAIR, network="change-encoder")
    run = deepnets4eo.train(one, tmp_path / "run", data=data)
    stage = run / "checkpoints" / "cover"
    assert (stage / "log.csv").read_text().count("\n") == 3
    for part, stays in {"network.encoder.": True, "network.cover_": True, "network.decoder": False}.items():
        first, last = (
            weights(path, part) for path in (stage / "checkpoints" / "best.safetensors", run / "weights.safetensors")
        )
        assert first.keys() == last.keys() != set()
        # statistics of normalisation as well
        assert all(torch.equal(value, first[name]) for name, value in last.items()) == stays, part


def test_an_interrupted_training_goes_on_with_the_stage_that_was_reached(data: Path, tmp_path: Path) -> None:
    one = recipe("sequential", *PAIR, network="change-encoder")
    through = deepnets4eo.train(one, tmp_path / "through", data=data)
    run = deepnets4eo.train(one, tmp_path / "run", data=data)
    for name in ("weights.safetensors", "card.json", "checkpoints/checkpoints", "checkpoints/last.safetensors"):
        (run / name).unlink(missing_ok=True)
    written = (run / "checkpoints" / "cover" / "checkpoints" / "last.safetensors").stat().st_mtime_ns
    deepnets4eo.train(one, run, data=data, options=TrainOptions(resume=True))
    assert (run / "checkpoints" / "cover" / "checkpoints" / "last.safetensors").stat().st_mtime_ns == written
    expected, resumed = (load_file(one / "weights.safetensors") for one in (through, run))
    assert all(torch.equal(value, expected[name]) for name, value in resumed.items())


@pytest.mark.parametrize(
    ("strategy", "network", "options"),
    [
        ("joint", "change-encoder", PAIR),
        ("direct", "fc-siam-conc", []),
    ],
)
def test_a_run_predicts_classes_from_to_with_scores_of_every_part(
    data: Path, tmp_path: Path, strategy: str, network: str, options: list[str]
) -> None:
    run = deepnets4eo.train(recipe(strategy, *options, network=network), tmp_path / "run", data=data)
    metrics = read_json(run / "metrics.json")
    assert metrics["classes"][:4] == ["built", "built → field", "built → water", "field → built"]
    assert metrics["change"]["classes"] == ["no change", "change"]
    assert metrics["pixels"] * 2 == metrics["cover"]["pixels"] == 2 * 96 * 96
    assert sum(map(sum, metrics["change"]["confusion"])) == 96 * 96
    assert "f1.change" in (run / "log.csv").read_text()
    scene = Scene.open(None, **{f"image_{date}": str(data / "scene0" / f"{date}.tif") for date in ("pre", "post")})
    labels = predict(load_run(run), scene, tmp_path / "map.tif", PredictOptions(device="cpu")).paths["labels"]
    legend = Layer.open(labels).legend
    assert legend is not None
    assert legend.num_classes == 9


def test_samples_have_the_pair_of_covers_of_their_window(data: Path) -> None:
    from deepnets4eo.change.training import CoverSamples, count_pairs

    one = recipe("joint", f"data.folders=[{data}]")
    prepared = prepare(one, ("cover_pre", "cover_post"))
    from deepnets4eo.cards import Legend

    readers = open_covers(prepared.split.scenes, Legend.from_dict(COVER), one.data)
    arguments = (prepared.split, prepared.inputs, one, prepared.cells)
    plain, pairs = CoverSamples(*arguments, readers=readers), CoverSamples(*arguments, readers=readers, pairs=3)
    window = plain.windows(0)[0]
    rows, cols = window.window.slices
    pre, post = (cover[rows, cols] for cover in covers(window.scene))
    sample = plain.read(window)
    np.testing.assert_array_equal(sample["cover_pre"], pre)
    np.testing.assert_array_equal(sample["cover_post"], post)
    np.testing.assert_array_equal(sample["mask"], pre != post)
    np.testing.assert_array_equal(pairs.read(window)["mask"], 3 * pre + post)
    (learnt,) = {window.scene for window in plain.windows(0)}
    before, after = covers(learnt)
    expected = [[((before == i) & (after == j)).sum() for j in range(3)] for i in range(3)]
    np.testing.assert_array_equal(count_pairs(prepared.split, readers, 3), expected)


def test_recipes_that_lack_a_part_are_refused(data: Path, tmp_path: Path) -> None:
    with raises_naming(InputError, "cover.legend"):
        deepnets4eo.train(recipe("joint").model_copy(update={"cover": CoverRecipe().cover}), tmp_path / "a", data=data)
    with raises_naming(InputError, "'fc-ef'"):
        deepnets4eo.train(recipe("joint", network="fc-ef"), tmp_path / "b", data=data)
    with pytest.raises(InputError, match="9 values|has the classes .*; expected no change and change, in this order"):
        other = recipe("joint").model_copy(update={"legend": {**COVER, "classes": [
            {"value": v, "name": f"c{v}", "color": [v, 0, 1]} for v in range(3)]}})  # fmt: skip
        deepnets4eo.train(other, tmp_path / "c", data=data)


def test_scores_of_change_and_cover_are_those_of_the_classes_counted_by_hand() -> None:
    covers, rng = 3, np.random.default_rng(2)
    pre, post, true_pre, true_post = rng.integers(0, covers, (4, 2, 5, 6))
    true_pre[0, 0, 0] = 255  # not known: in no matrix but that of the other date and of change
    edge = ((0, 0), (1, 1), (1, 1))  # the margin that the network needs, which is not scored
    batch = {
        name: np.pad(values, edge, constant_values=255).astype(np.uint8)
        for name, values in (
            ("mask", true_pre != true_post), ("cover_pre", true_pre), ("cover_post", true_post)
        )
    } | {"image": np.zeros((2, 1, 7, 8), np.float32)}  # fmt: skip
    segmenter = SimpleNamespace(
        inputs=SimpleNamespace(names=["image"]), predict_classes=lambda stack, margin_px: pre * covers + post
    )
    found = score_covers(segmenter, [batch], covers, margin_px=1)
    expected = {"change": np.zeros((2, 2), int), "cover": np.zeros((3, 3), int), "from_to": np.zeros((9, 9), int)}
    for a, b, c, d in zip(true_pre.flat, true_post.flat, pre.flat, post.flat, strict=True):
        expected["change"][int(a != b), int(c != d)] += 1
        expected["cover"][b, d] += 1
        if a < covers:
            expected["cover"][a, c] += 1
            expected["from_to"][a * covers + b, c * covers + d] += 1
    for name, matrix in expected.items():
        np.testing.assert_array_equal(found[name].matrix, matrix, err_msg=name)
