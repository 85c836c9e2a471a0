"""Wrong labels of whole images: the heads and losses of pixels, by hand, in one recipe and in runs."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from refusals import raises_naming
from torch import nn

import deepnets4eo
from deepnets4eo.classification import ImageList, classify_images, find_wrong_images, labelling, list_images
from deepnets4eo.classification.images import ImageSplit
from deepnets4eo.classification.loss import ImageCriterion
from deepnets4eo.classification.readers import ImageData
from deepnets4eo.classification.recipe import ImageRecipe
from deepnets4eo.cli.main import main
from deepnets4eo.errors import InputError
from deepnets4eo.segmentation import HeteroscedasticHead
from deepnets4eo.segmenters import create_model, load_run
from deepnets4eo.training import TrainOptions
from deepnets4eo.training.recipe import resolve

from .conftest import SIDE_PX, SMALL

HEAD = {"head": "heteroscedastic", "head_options": {"rank": 2, "samples": 4}}
UNCHANGED = ("train.flips=false", "train.rotations=false", "train.photometric=0")
LOGITS = torch.tensor([[2.0, 0, -1], [0, 1, 0], [3, 0, 0], [0.5, 0, 2]])
TARGETS = np.eye(3, dtype=bool)[[0, 1, 2, 2]]


def network(name: str, **options: object) -> nn.Module:
    return create_model(name, in_channels=4, num_classes=3, patch_px=SIDE_PX, stride_px=8, **options)


def criterion(*overrides: str) -> ImageCriterion:
    recipe = resolve({"task": "images"}, [*UNCHANGED, *overrides], kind=ImageRecipe)
    none = np.zeros(0, np.int64)
    split = ImageSplit(np.arange(4), none, none, none, ())
    legend = SimpleNamespace(num_classes=3, index=["field", "forest", "water"].index)
    material = SimpleNamespace(recipe=recipe, split=split, targets=TARGETS, several=recipe.data.labels == "several")
    return ImageCriterion(material, legend, nn.Identity())


class Fixed(nn.Module):
    """A network whose scores of images are given."""

    def __init__(self, *scores: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.stack(scores))

    def patch_scores(self, _images: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return tuple(self.scores) if len(self.scores) > 1 else self.scores[0]


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ("{cross_entropy: 0.9, uniform: 0.1}", lambda y: F.cross_entropy(LOGITS, y, label_smoothing=0.1)),
        (
            "{cross_entropy: 0.8, entropy: 0.2}",
            lambda y: F.cross_entropy(LOGITS, 0.8 * F.one_hot(y, 3) + 0.2 * LOGITS.softmax(dim=1)),
        ),
        ("{cross_entropy: 1}", lambda y: F.cross_entropy(LOGITS, y)),
    ],
)
def test_the_losses_of_pixels_are_those_of_images(losses: str, expected) -> None:  # type: ignore[no-untyped-def]
    batch = {"image": torch.zeros(4, 1, 2, 2), "target": torch.from_numpy(TARGETS)}
    loss = criterion(f"train.losses={losses}").step(Fixed(LOGITS), batch)
    torch.testing.assert_close(loss.detach(), expected(torch.tensor([0, 1, 2, 2])))
    weighted = criterion("train.class_weights={water: 3}").step(Fixed(LOGITS), batch)
    each = F.cross_entropy(LOGITS, torch.tensor([0, 1, 2, 2]), reduction="none")
    torch.testing.assert_close(weighted.detach(), (each * torch.tensor([1.0, 1, 3, 3])).sum() / 8)


def test_scores_of_the_head_are_the_log_of_the_mean_of_its_samples_and_are_divided_exactly() -> None:
    torch.manual_seed(0)
    one = network("wide-resnet-eca", **HEAD).eval()
    patches = torch.randn(2, 4, SIDE_PX, SIDE_PX)
    features, head = one.features(patches), one.head
    assert isinstance(head, HeteroscedasticHead)
    values = features[1] @ head.layer.weight[:, :, 0, 0].T + head.layer.bias
    means, spread, directions = values[:3], F.softplus(values[3:6]), values[6:].reshape(2, 3).T
    samples = [
        (means + sign * (spread * draw[:3] + directions @ draw[3:])).softmax(dim=0)
        for draw in head.noise
        for sign in (1, -1)
    ]
    expected = torch.stack(samples).mean(dim=0).log()
    torch.testing.assert_close(one.patch_scores(patches)[1], expected)
    one.divide_scores(4.0)
    torch.testing.assert_close(one.patch_scores(patches)[1], expected / 4)
    assert not torch.equal(one.train().patch_scores(patches), one.patch_scores(patches)), "noise is drawn anew"


def test_such_networks_are_trained_calibrated_and_read_again(patches: Path, tmp_path: Path) -> None:
    model = {"network": "wide-resnet-eca", "options": HEAD | {"stride_px": 8}}
    recipe = tmp_path / "recipe.yaml"
    train = SMALL["train"] | {"epochs": 1}  # type: ignore[operator]
    recipe.write_text(json.dumps(SMALL | {"model": model, "train": train}), encoding="utf-8")
    run = load_run(deepnets4eo.train(recipe, tmp_path / "run", data=patches, options=TrainOptions(device="cpu")))
    divided = [float(value) for name, value in run.segmenter.module.state_dict().items() if name.endswith("divisor")]
    assert divided == [pytest.approx(run.card["notes"]["temperature"])]
    assert run.segmenter.halo_px == (SIDE_PX - 8) // 2
    np.testing.assert_allclose(
        classify_images(run, list_images(ImageData(folders=(str(patches),)))[0]).sum(1), 1, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.labels=several", "model.options={head: heteroscedastic}"], "several labels are learnt by cross_entropy"),
        (["data.labels=several", "train.losses={focal: 1}"], "several labels are learnt by cross_entropy"),
        (["train.losses={cross_entropy: 1, contrastive: 1}"], "contrastive compares two dates"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused_with_the_recipe(overrides: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        resolve({"task": "images"}, overrides, kind=ImageRecipe)


def test_labels_that_are_probably_wrong_are_ranked_and_those_learnt_from_left_out(
    run: Path, patches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = load_run(run)
    learnt = json.loads((run / "split.geojson").read_text(encoding="utf-8"))["images"]["train"]
    out = tmp_path / "suspects.csv"

    def sure_of(images: ImageList) -> np.ndarray:
        """Right in nine of ten, but each first image of a class seems to be water."""
        probabilities = 0.05 + 0.85 * images.targets
        first = [int(np.flatnonzero(column)[0]) for column in images.targets.T]
        probabilities[first[0]], probabilities[first[1]] = (0.05, 0.03, 0.92), (0.02, 0.02, 0.96)
        return probabilities

    monkeypatch.setattr(labelling, "classify_images", lambda _run, images, num_workers: sure_of(images))
    assert main(["suspects", str(run), str(patches), "--out", str(out)]) == 0
    assert "labels of images that are probably wrong: 2" in capsys.readouterr().err
    rows = [line.split(",") for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[0] == ["rank", "image", "labelled", "suggested", "margin"]
    assert [[row[0], *row[2:]] for row in rows[1:]] == [
        ["1", "forest", "water", "0.94"],
        ["2", "field", "water", "0.87"],
    ]
    assert not {row[1] for row in rows[1:]} & set(learnt)
    several = replace(loaded, card=loaded.card | {"notes": loaded.card["notes"] | {"labels": "several"}})
    found = find_wrong_images(several, [patches])
    assert found[["labelled", "suggested", "margin"]].to_numpy().tolist()[:2] == [
        ["forest", "no forest", 0.96],
        ["no water", "water", 0.92],
    ]
    monkeypatch.setattr(
        labelling,
        "read_json",
        lambda _path: {"images": {"train": list_images(ImageData(folders=(str(patches),)))[0].names}},
    )
    with raises_naming(InputError, "24 labelled"):
        find_wrong_images(loaded, [patches])
    for words, message in (
        (["evaluate"], "is a run, whose own scores are in its metrics.json"),
        (["suspects", "--out", "suspects.gpkg"], "Name it .csv"),
        (["suspects", "--out", str(out), "--legend", "isprs"], "has its own classes and no regions"),
    ):
        assert main([words[0], str(run), str(patches), *words[1:]]) == 2
        assert message in capsys.readouterr().err
