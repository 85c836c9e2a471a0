"""Augmentation: layers turn together, light changes images alone, invalid pixels stay as they are."""

import numpy as np
import pytest
import torch

from deepnets4eo.training.augmentation import Augmentation, mirror, relit, rotate


def make_sample(height: int = 6, width: int = 6) -> dict[str, torch.Tensor]:
    ids = torch.arange(height * width).reshape(height, width)
    return {
        "image": torch.stack([ids, ids, ids]).float(),
        "dsm": ids[None].float(),
        "mask": ids.clone(),
        "valid": ids % 5 != 0,
    }


@pytest.mark.parametrize("seed", range(8))
def test_all_layers_turn_together(seed: int) -> None:
    sample = Augmentation(flips=True, rotations=True)(make_sample(), np.random.default_rng(seed))
    assert torch.equal(sample["image"][2].long(), sample["mask"])
    assert torch.equal(sample["dsm"][0].long(), sample["mask"])
    assert torch.equal(sample["valid"], sample["mask"] % 5 != 0)


def test_the_eight_symmetries_of_a_square_all_occur() -> None:
    rng = np.random.default_rng(0)
    seen = {tuple(Augmentation()(make_sample(), rng)["mask"].flatten().tolist()) for _ in range(200)}
    assert len(seen) == 8


def test_rooms_are_mirrored_left_and_right_and_never_upside_down() -> None:
    sample, augment = make_sample(), Augmentation(flips="left-right", rotations=False)
    seen = {augment(sample, np.random.default_rng(seed))["mask"].numpy().tobytes() for seed in range(20)}
    ids = sample["mask"].numpy()
    assert seen == {ids.tobytes(), ids[:, ::-1].tobytes()}


def test_quarter_turns_and_mirrors_are_numpys() -> None:
    sample = make_sample(4, 6)
    ids = sample["mask"].numpy()
    assert np.array_equal(rotate(sample, quarter_turns=1)["mask"].numpy(), np.rot90(ids))
    assert np.array_equal(mirror(sample, rows=True, cols=False)["mask"].numpy(), ids[::-1])
    assert np.array_equal(mirror(sample, rows=True, cols=True)["mask"].numpy(), ids[::-1, ::-1])


def test_light_changes_images_only_and_never_invalid_pixels() -> None:
    sample = {**make_sample(), "image_post": torch.randn(2, 6, 6)}
    sample["image"] = sample["image"] * sample["valid"]
    changed = relit(sample, 0.2, np.random.default_rng(1))
    for name in ("dsm", "mask", "valid"):
        assert torch.equal(changed[name], sample[name])
    assert not torch.equal(changed["image"], sample["image"])
    assert not torch.equal(changed["image_post"], sample["image_post"])
    assert changed["image"][:, ~sample["valid"]].abs().max() == 0


def test_the_same_generator_gives_the_same_sample() -> None:
    augment = Augmentation(photometric=0.3)
    first, second = (augment(make_sample(), np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_nothing_asked_is_nothing_changed() -> None:
    sample = make_sample()
    same = Augmentation(flips=False, rotations=False)(sample, np.random.default_rng(0))
    assert all(torch.equal(same[name], sample[name]) for name in sample)
