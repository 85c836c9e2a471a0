"""HybridSN, SSRN, SpectralFormer, two sensors and the spectral U-Net: published sizes, and the same logits on whole cubes."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import PatchClassifier, build, patch_classifier
from deepnets4eo.hyperspectral.networks.spectral_spatial import SSRN, HybridSN, SpectralFormer, SpectralUNet

CASES = {
    "hybridsn": (13, {"patch_px": 9}),
    "hybridsn of even patches": (14, {"patch_px": 12}),
    "ssrn": (12, {}),
    "ssrn of small patches": (7, {"patch_px": 4}),
    "spectralformer": (10, {"patch_px": 5}),
    "spectralformer of pixels": (10, {"patch_px": 1, "group_bands": 5, "layers": 3}),
    "two-sensor": (13, {"streams": [11, 2], "width": 6}),
    "two-sensor of pixels": (
        13, {"streams": [12, 1], "width": 6, "network": "hyperspectral/spectralformer", "patch_px": 1}
    ),
    "two-sensor of large patches": (
        15, {"streams": [14, 1], "width": 6, "network": "hyperspectral/hybridsn", "patch_px": 12}
    ),
    "ssrn behind spectra": (
        20,
        {"patch_px": 5, "spectra": {"normalisations": ["snv", "derivative"], "reduction": "mnf", "components": 8}},
    ),
}  # fmt: skip


def numbers_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def make(case: str) -> tuple[PatchClassifier, Tensor]:
    """A network whose normalisations have statistics of their own, and a cube."""
    bands, options = CASES[case]
    torch.manual_seed(0)
    network = build(case.split()[0], bands, 5, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    cube = torch.randn(1, bands, 9, 11)
    if hasattr(network, "spectra"):
        network.spectra.fit([(cube[0].numpy(), np.ones((9, 11), bool))])
    return network.eval(), cube


def patch_by_patch(network: PatchClassifier, cube: Tensor) -> Tensor:
    """Logits of patches cut around each pixel of the mirrored cube."""
    before, side = network.patch_px // 2, network.patch_px
    after = side - 1 - before
    padded = np.pad(cube[0].numpy(), ((0, 0), (before, after), (before, after)), mode="reflect")
    height, width = cube.shape[2:]
    patches = [padded[:, row : row + side, column : column + side] for row in range(height) for column in range(width)]
    scores = torch.cat([network.patch_scores(torch.from_numpy(np.stack([patch]))) for patch in patches])
    return scores.T.reshape(1, -1, height, width)


@pytest.mark.parametrize("case", CASES)
def test_whole_cubes_have_the_logits_of_the_patch_around_each_pixel(case: str) -> None:
    network, cube = make(case)
    with torch.inference_mode():
        dense, expected = network(cube), patch_by_patch(network, cube)
    assert expected.std() > 0.01
    torch.testing.assert_close(dense, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", ["ssrn", "spectralformer", "two-sensor of large patches", "ssrn behind spectra"])
def test_windows_leave_no_trace(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, cube = make(case)
    cube = torch.cat([cube, cube.flip(2)])
    with torch.inference_mode():
        whole = network(cube)
        monkeypatch.setattr(patch_classifier, "WINDOW_BYTES", 1)
        monkeypatch.setattr(patch_classifier, "MIN_WINDOW_PX", 4)
        torch.testing.assert_close(network(cube), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("bands", "num_classes", "published"), [(30, 16, 5_122_176), (15, 9, 4_844_793), (15, 16, 4_845_696)]
)
def test_hybridsn_has_the_published_number_of_parameters(bands: int, num_classes: int, published: int) -> None:
    assert numbers_of(HybridSN(bands, num_classes)) == published


def test_ssrn_has_the_parameters_of_its_layers() -> None:
    spectral = 24 * 7 + 2 * 2 * (24 * 24 * 7 + 48) + 48 + 128 * 24 * 97 + 256  # 200 bands leave 97
    spatial = 24 * 128 * 9 + 2 * 2 * (24 * 24 * 9 + 48) + 48 + 24 * 16 + 16
    assert numbers_of(SSRN(200, 16)) == spectral + spatial


@pytest.mark.parametrize(("patch_px", "group_bands"), [(7, 3), (1, 1)])
def test_spectralformer_has_the_parameters_of_its_layers(patch_px: int, group_bands: int) -> None:
    embedding = (patch_px**2 * group_bands + 1) * 64 + 64 + 201 * 64
    layer = 2 * 64 + 64 * 3 * 64 + 64 * 64 + 64 + 2 * 64 + 64 * 8 + 8 + 8 * 64 + 64
    fusion = 201 * 201 * 2 + 201
    network = SpectralFormer(200, 16, patch_px=patch_px, group_bands=group_bands)
    assert numbers_of(network) == embedding + 5 * layer + 3 * fusion + 2 * 64 + 64 * 16 + 16


def test_the_spectral_unet_has_the_parameters_of_its_layers() -> None:
    spectral = 16 * 7 + 16 + 32 * 16 * 5 + 32 + 32 * 50 * 64 + 64  # 200 bands leave 50
    blocks = [(64, 64), (64, 128), (128, 256), (384, 128), (192, 64)]
    spatial = sum(9 * before * after + 9 * after * after + 4 * after for before, after in blocks)
    assert numbers_of(SpectralUNet(200, 16)) == spectral + spatial + 64 * 16 + 16


def test_a_token_sees_its_own_band_and_its_neighbours_alone() -> None:
    network = SpectralFormer(10, 2, patch_px=3).eval()
    seen: list[Tensor] = []
    network.embedding.register_forward_hook(lambda module, inputs, output: seen.append(output))
    patches = torch.randn(1, 10, 3, 3)
    changed = patches.clone()
    changed[:, 9, 0, 0] += 1
    network.patch_scores(patches), network.patch_scores(changed)
    assert (seen[0] != seen[1]).any(dim=2)[0].nonzero().flatten().tolist() == [0, 8, 9]


def test_the_third_layer_takes_what_the_first_one_took() -> None:
    network = SpectralFormer(6, 2, patch_px=1, layers=3).eval()
    taken: list[Tensor] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda module, inputs, output: taken.extend([inputs[0], output]))
    network.patch_scores(torch.randn(2, 6, 1, 1))
    first_input, second_output, third_input = taken[0], taken[3], taken[4]
    kernel, bias = network.fusions[0].weight[:, :, 0], network.fusions[0].bias
    expected = (
        torch.einsum("ot,ntd->nod", kernel[:, :, 0], second_output)
        + torch.einsum("ot,ntd->nod", kernel[:, :, 1], first_input)
        + bias[None, :, None]
    )
    torch.testing.assert_close(third_input, expected)


def test_the_other_sensor_counts_and_may_be_absent() -> None:
    network, cube = make("two-sensor")
    without = cube.clone()
    without[:, 11:] = 0
    with torch.inference_mode():
        both, alone = network(cube), network(without)
    assert alone.isfinite().all()
    assert (both - alone).abs().min(dim=1).values.median() > 1e-4


def test_the_spectral_unet_takes_any_size_and_sees_beyond_a_pixel() -> None:
    torch.manual_seed(0)
    network = SpectralUNet(20, 4, features=8, widths=[8, 12, 16]).eval()
    cube = torch.randn(1, 20, 33, 18)
    changed = cube.clone()
    changed[:, :, 0, 0] += 5
    with torch.inference_mode():
        difference = (network(cube) - network(changed))[0].abs().amax(dim=0)
    assert difference.shape == (33, 18)
    assert difference[4, 4] > 0


@pytest.mark.parametrize(
    ("name", "bands", "options", "message"),
    [
        ("hybridsn", 12, {}, "at least 13 bands and 9 pixels"),
        ("hybridsn", 30, {"patch_px": 8}, "at least 13 bands and 9 pixels"),
        ("ssrn", 6, {}, "at least 7 bands"),
        ("spectralformer", 20, {"patch_px": 6}, "must be odd"),
        ("spectralformer", 20, {"layers": 1}, "at least 2 layers"),
        ("two-sensor", 20, {"streams": [10, 5, 5]}, "expected two, the cube's bands"),
        ("two-sensor", 20, {"streams": [19, 1], "network": "osmnet"}, "does not classify patches"),
        ("two-sensor", 20, {}, "without streams"),
        ("spectral-unet", 20, {"features": 0}, "must be at least 1"),
        ("spectral-unet", 20, {"widths": []}, "there must be a level"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(name: str, bands: int, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(name, bands, 3, **options)
