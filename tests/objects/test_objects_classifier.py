"""Types of objects: patches stand upright, made-up types (SYNTHETIC) are learned, saved and told again."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from affine import Affine

from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid
from deepnets4eo.objects import ObjectClassifier, ObjectView, extract_objects, upright_patches
from deepnets4eo.objects.classifier import ObjectNetwork, train
from deepnets4eo.polygons.boxes import paint
from deepnets4eo.rasters.scene import Layer

SHAPE = (200, 200)
VIEW = ObjectView(extent_m=8.0, side_px=16)
TYPES = ("car", "truck", "pick-up")


def street(seed: int) -> tuple[Layer, Layer, np.ndarray]:
    """Image, labels and true types of 25 vehicles at 0.25 m: small ones, long ones, and small ones with a dark bed."""
    rng = np.random.default_rng(seed)
    image, labels, kinds = rng.integers(80, 110, (3, *SHAPE)).astype(np.uint8), np.zeros(SHAPE, np.uint8), []
    for row in range(20, 200, 40):
        for col in range(20, 200, 40):
            kind = int(rng.integers(3))
            length, heading = (32.0, 16.0, 16.0)[kind] * rng.uniform(0.9, 1.1), rng.uniform(0, math.pi)
            box = np.array([[row, col, length, 7.0, heading]])
            body = paint(box, np.ones(1, np.float32), SHAPE) > 0
            image[:, body], labels[body] = 220, 4
            if kind == 2:
                along = np.array([math.sin(heading), math.cos(heading)]) * length / 4
                bed = np.array([[row + along[0], col + along[1], length / 2, 7.0, heading]])
                image[:, (paint(bed, np.ones(1, np.float32), SHAPE) > 0) & body] = 20
            kinds.append(TYPES[kind])
    grid = Grid(SHAPE, Affine(0.25, 0, 500_000, 0, -0.25, 5_000_000), "EPSG:32631")
    return Layer.open(image, grid=grid), Layer.open(labels, grid=grid), np.array(kinds, object)


def with_types(seed: int):
    image, labels, kinds = street(seed)
    objects = extract_objects(labels, "car", "isprs")
    back = ~image.grid.affine
    middles = [back * (shape.centroid.x, shape.centroid.y) for shape in objects.geometry]
    order = [int(y // 40) * 5 + int(x // 40) for x, y in middles]
    return image, objects.assign(type=kinds[order])


@pytest.fixture(scope="module")
def learned() -> ObjectClassifier:
    pairs = [with_types(seed) for seed in range(4)]
    return ObjectClassifier(TYPES, VIEW, seed=1).fit(*map(list, zip(*pairs, strict=True)), epochs=25)


@pytest.mark.parametrize("heading", [0, 30, 77, 135])
def test_an_upright_patch_shows_the_long_side_running_down(heading: int) -> None:
    box = np.array([[100.0, 90.0, 40.0, 12.0, math.radians(heading - 90) % math.pi]])
    body = paint(box, np.ones(1, np.float32), SHAPE)
    grid = Grid(SHAPE, Affine(0.25, 0, 500_000, 0, -0.25, 5_000_000), "EPSG:32631")
    objects = extract_objects(Layer.open((body > 0).astype(np.uint8) * 4, grid=grid), "car", "isprs")
    patch = upright_patches(Layer.open(body, grid=grid), objects, 16.0, 64)[0, 0]
    rows, cols = np.nonzero(patch > 0.5)
    assert np.ptp(rows) + 1 == pytest.approx(40, abs=2)
    assert np.ptp(cols) + 1 == pytest.approx(12, abs=2)
    assert rows.mean() == pytest.approx(31.5, abs=0.7)
    assert cols.mean() == pytest.approx(31.5, abs=0.7)


def test_types_that_differ_in_size_or_look_are_told_on_streets_never_seen(learned: ObjectClassifier) -> None:
    image, objects = with_types(77)
    told = learned.predict(image, objects.drop(columns="type"))
    assert (told["type"] == objects["type"]).mean() >= 0.9
    assert told["type_prob"].between(1 / 3, 1).all()
    assert learned.history[-1] < learned.history[0]


def test_the_learning_rate_comes_down_to_nothing_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []

    class Recorded(torch.optim.AdamW):
        def step(self, *given, **more):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*given, **more)

    monkeypatch.setattr(torch.optim, "AdamW", Recorded)
    patches, sizes = torch.zeros(100, 1, 16, 16), torch.zeros(100, 2)
    train(ObjectNetwork(1, 2), patches, sizes, torch.arange(100) % 2, epochs=6, seed=0)
    assert max(rates) > 1e-3
    assert rates[-1] < 1e-6


def test_a_saved_classifier_tells_the_same(learned: ObjectClassifier, tmp_path: Path) -> None:
    image, objects = with_types(5)
    again = ObjectClassifier.load(learned.save(tmp_path / "types"))
    np.testing.assert_array_equal(
        learned.predict_probabilities(image, objects), again.predict_probabilities(image, objects)
    )
    weights = tmp_path / "types" / "network.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match="changed"):
        ObjectClassifier.load(tmp_path / "types")


def test_no_objects_have_no_types(learned: ObjectClassifier) -> None:
    image, objects = with_types(5)
    assert learned.predict(image, objects.iloc[:0])["type"].tolist() == []


def test_what_does_not_fit_is_refused(learned: ObjectClassifier) -> None:
    image, objects = with_types(5)
    with pytest.raises(InputError, match="trained with 3"):
        learned.predict(image.subset([1]), objects)
    with pytest.raises(InputError, match="Did you mean 'truck'"):
        ObjectClassifier(TYPES, VIEW).fit([image], [objects.assign(type="trukc")])
    with pytest.raises(InputError, match="at least two"):
        ObjectClassifier(TYPES, VIEW).fit([image], [objects.assign(type="car")])
    with pytest.raises(InputError, match="heading_deg"):
        learned.predict(image, objects.drop(columns="heading_deg"))
    with pytest.raises(RunError, match="not trained"):
        ObjectClassifier().predict(image, objects)
    with pytest.raises(InputError, match="two different"):
        ObjectClassifier(["car"])
