"""Whole cubes in one pass: the logits of the patch around every pixel, also at mirrored edges, whatever the windows."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepnets4eo.hyperspectral import PatchClassifier, patch_classifier
from deepnets4eo.segmenters import create_model

CASES = {  # network → bands, size of the cube, options
    "nn": (9, (4, 5), {}),
    "hu": (30, (4, 5), {}),
    "boulch": (21, (4, 5), {}),
    "mou": (11, (4, 5), {}),
    "hamida": (20, (7, 9), {}),
    "hamida 7 dilated": (30, (7, 9), {"patch_px": 7, "dilation": 2}),
    "hamida 3": (20, (5, 6), {"patch_px": 3}),
    "lee": (8, (6, 7), {}),
    "chen": (95, (3, 7), {}),
    "li": (14, (7, 9), {}),
    "li 7": (9, (7, 9), {"patch_px": 7, "planes": 2}),
    "he": (29, (8, 9), {}),
    "luo": (52, (4, 5), {}),
    "sharma": (5, (6, 9), {}),
    "sharma 80": (3, (4, 5), {"patch_px": 80}),
    "liu": (6, (9, 11), {}),
    "liu 12": (6, (9, 11), {"patch_px": 12}),
}


def build(case: str) -> tuple[PatchClassifier, Tensor]:
    """A network whose normalisations have seen data, and a cube."""
    bands, size, options = CASES[case]
    torch.manual_seed(0)
    network = create_model(f"hyperspectral/{case.split()[0]}", in_channels=bands, num_classes=4, **options)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    if case == "chen":  # first weights of 0.001 leave nothing to compare
        nn.init.kaiming_normal_(network.features[0].weight)
        nn.init.kaiming_normal_(network.features[4].weight)
        nn.init.kaiming_normal_(network.features[8].weight)
    return network.eval(), torch.randn(1, bands, *size)


def patch_by_patch(network: PatchClassifier, cube: Tensor) -> Tensor:
    """Logits of patches cut one by one out of the cube mirrored by NumPy, the labelled pixel at P // 2."""
    side = network.patch_px
    before, after = side // 2, side - 1 - side // 2
    mirrored = np.pad(cube.numpy(), ((0, 0), (0, 0), (before, after), (before, after)), mode="reflect")
    height, width = cube.shape[2:]
    patches = [mirrored[0, :, r : r + side, c : c + side] for r in range(height) for c in range(width)]
    scores = network.patch_scores(torch.from_numpy(np.stack(patches)))
    return scores.T.reshape(1, -1, height, width)


@pytest.mark.parametrize("case", CASES)
def test_every_pixel_has_the_logits_of_its_patch(case: str) -> None:
    network, cube = build(case)
    with torch.inference_mode():
        dense, patches = network(cube), patch_by_patch(network, cube)
    spread = float(patches.max() - patches.min())
    assert spread > 0.01
    assert float((dense - patches).abs().max()) <= 1e-5 * spread
    assert float((dense - patches).abs().max()) <= 1e-4


@pytest.mark.parametrize("case", ["hamida", "hamida 3", "liu", "boulch"])
def test_windows_leave_no_trace(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = build(case)
    cube = torch.randn(2, network_bands(case), 19, 27)
    with torch.inference_mode():
        whole = network(cube)
        sizes: list[tuple[int, ...]] = []
        monkeypatch.setattr(patch_classifier, "WINDOW_BYTES", 1)
        inner = type(network).inner_scores
        monkeypatch.setattr(
            type(network), "inner_scores", lambda self, part: (sizes.append(part.shape), inner(self, part))[1]
        )
        windows = network(cube)
    context = network.before_px + network.after_px
    assert max(shape[2] for shape in sizes) == patch_classifier.MIN_WINDOW_PX + context
    assert len(sizes) == 3 * 4
    torch.testing.assert_close(windows, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["nn", "hu", "boulch", "mou"])
def test_spectra_are_computed_few_at_a_time_in_one_window(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, _ = build(case)
    cube = torch.randn(2, network_bands(case), 16, 12)
    windows: list[tuple[int, ...]] = []
    inner = type(network).inner_scores
    monkeypatch.setattr(
        type(network), "inner_scores", lambda self, part: (windows.append(part.shape), inner(self, part))[1]
    )
    with torch.inference_mode():
        together = network(cube)
        monkeypatch.setattr(type(network), "pixels_at_once", 50)
        few = network(cube)
    assert windows == 2 * [cube.shape]
    torch.testing.assert_close(few, together, rtol=1e-5, atol=1e-5)


def network_bands(case: str) -> int:
    return CASES[case][0]
