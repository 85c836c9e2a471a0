"""The published networks of hyperspectral classification: their parameters, sizes, first weights and what they refuse."""

import pytest
import torch
from refusals import raises_naming
from torch import Tensor, nn

from deepnets4eo.errors import InputError
from deepnets4eo.hyperspectral import PatchClassifier
from deepnets4eo.segmenters import create_model, list_models

# bands and outputs, the class "undefined" included, of Indian Pines, Pavia University, Pavia Centre, KSC, Botswana,
# Salinas, DFC2018; then Indian Pines and Pavia University without that class
CUBES = [(200, 17), (103, 10), (102, 10), (176, 14), (145, 15), (204, 17), (48, 21), (200, 16), (103, 9)]
COUNTS: dict[str, list[int | None]] = {
    "nn": [17229841, 17016842, 17014794, 17174542, 17113103, 17238033, 16926741, 17227792, 17014793],
    "hu": [72297, 61370, 61370, 79934, 65975, 74297, 44361, 72196, 61269],
    "hamida": [46107, 35530, 35180, 41904, 40610, 46107, 35786, 45196, 35039],
    "lee": [390417, 265354, 264074, 359310, 319759, 395537, 196373, 390288, 265225],
    "chen": [1123281, 1068266, 1067946, 1102254, 1090031, 1125457, None, 1119856, 1067945],
    "li": [121521, 46570, 46250, 91950, 82575, 123697, 44469, 115248, 43401],
    "he": [284897, 89306, 89306, 208606, 180191, 289249, 74213, 269024, 81881],
    "luo": [103847643, 40401620, 40401620, 86543064, 69242585, 109614811, 5809887, 103846618, 40400595],
    "sharma": [2636337, 2293930, 2290474, 2550318, 2444207, 2650161, 2115125, 2635312, 2292905],
    "liu": [4815977, 4360753, 4356112, 4702430, 4559280, 4834541, 4113429, 4815256, 4360032],
    "boulch": [6871, 5639, 5635, 6763, 6643, 6887, 4647, 6867, 5635],
    "mou": [256081, 91978, 91210, 193102, 170639, 260945, 83541, 243280, 85385],
}
NEVER_CALLED = {"liu": 2 * 720}  # a normalisation that the public code declares and does not use; ours has none
MIN_BANDS = {
    "nn": 1, "hu": 1, "hamida": 3, "lee": 1, "chen": 94, "li": 5, "he": 17, "luo": 42, "sharma": 1, "liu": 1, "boulch": 4,
    "mou": 1,
}  # fmt: skip


def build(name: str, bands: int, classes: int, **options: int) -> PatchClassifier:
    network = create_model(f"hyperspectral/{name}", in_channels=bands, num_classes=classes, **options)
    assert isinstance(network, PatchClassifier)
    return network


def parameters_of(name: str, bands: int, classes: int, **options: int) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(name, bands, classes, **options).parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_of_the_published_table(name: str) -> None:
    for (bands, classes), golden in zip(CUBES, COUNTS[name], strict=True):
        if golden is None:
            with raises_naming(InputError, "in_channels", "least 94"):
                parameters_of(name, bands, classes)
        else:
            assert parameters_of(name, bands, classes) == golden - NEVER_CALLED.get(name, 0), (bands, classes)


def test_all_networks_of_the_table_are_listed() -> None:
    assert {f"hyperspectral/{name}" for name in COUNTS} <= set(list_models("hyperspectral/*"))


def test_other_patches_and_cubes_have_the_known_numbers_of_parameters() -> None:
    assert parameters_of("hamida", 200, 17, patch_px=7) == 169867
    assert parameters_of("hamida", 103, 10, patch_px=7) == 74730
    assert parameters_of("hamida", 200, 17, patch_px=3) == 46107
    assert parameters_of("hamida", 103, 10, patch_px=3) == 35530
    assert parameters_of("hu", 220, 8) == 79428
    assert parameters_of("hu", 224, 16) == 82236


def test_layers_leave_the_known_sizes() -> None:
    hu, pavia = build("hu", 200, 16), build("hu", 103, 9)
    assert (hu.kernel, hu.pool, hu.length, hu.hidden.in_features) == (23, 5, 35, 700)
    assert (pavia.kernel, pavia.pool, pavia.length, pavia.hidden.in_features) == (12, 3, 30, 600)
    for name, sizes in {"hamida": (910, 490), "li": (6272, 3168), "he": (15872, 7424), "chen": (3424, 320)}.items():
        assert tuple(build(name, bands, 9).output.in_features for bands in (200, 103)) == sizes
    with torch.device("meta"):
        assert [build("luo", bands, 9).length for bands in (200, 103)] == [20, 9]
        assert [build("luo", bands, 9).hidden.in_features for bands in (200, 103)] == [101376, 39424]
    assert [len(build("boulch", bands, 9).blocks) for bands in (200, 103)] == [7, 6]
    with torch.inference_mode():
        assert build("chen", 200, 16).features(torch.zeros(1, 1, 200, 27, 27)).shape == (1, 32, 107, 1, 1)
        assert build("he", 103, 9).features(torch.zeros(1, 1, 103, 7, 7)).shape == (1, 16, 29, 4, 4)
        liu = build("liu", 103, 9).eval()
        assert liu.features[:2](torch.zeros(1, 103, 9, 9)).numel() == 3920
        assert liu.features(torch.zeros(1, 103, 9, 9)).numel() == 720


@pytest.mark.parametrize(("name", "context"), [
    ("nn", (1, 0, 0)), ("hu", (1, 0, 0)), ("boulch", (1, 0, 0)), ("mou", (1, 0, 0)), ("hamida", (5, 2, 2)),
    ("lee", (5, 1, 1)), ("chen", (27, 13, 11)), ("li", (5, 2, 2)), ("he", (7, 3, 3)), ("luo", (3, 1, 1)),
    ("sharma", (64, 32, 23)), ("liu", (9, 4, 3)),
])  # fmt: skip
def test_patches_and_their_context_are_the_published_ones(name: str, context: tuple[int, int, int]) -> None:
    with torch.device("meta"):
        network = build(name, 103, 9)
    assert (network.patch_px, network.before_px, network.after_px) == context


@pytest.mark.parametrize("name", MIN_BANDS)
def test_the_fewest_bands_that_fit_are_named(name: str) -> None:
    least = MIN_BANDS[name]
    with torch.device("meta"):
        build(name, least, 2)
        if least > 1:
            with raises_naming(InputError, "in_channels", least - 1, least):
                build(name, least - 1, 2)


@pytest.mark.parametrize(("name", "options", "message"), [
    ("nn", {"patch_px": 3}, "by only its spectrum"),
    ("hamida", {"patch_px": 9}, "not among 3, 5, 7"),
    ("hamida", {"dilation": 0}, "at least 1"),
    ("lee", {"patch_px": 2}, "at least 3"),
    ("chen", {"patch_px": 24}, "at least 25"),
    ("li", {"patch_px": 4}, "at least 5"),
    ("li", {"planes": 0}, "at least 1"),
    ("he", {"patch_px": 3}, "at least 4"),
    ("luo", {"patch_px": 5}, "made for 3"),
    ("sharma", {"patch_px": 55}, "at least 56"),
    ("liu", {"patch_px": 3}, "at least 4"),
])  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parameters_of(name, 103, 9, **options)


@pytest.mark.parametrize("name", ["nn", "hamida", "lee", "liu"])
def test_patches_of_another_side_are_refused(name: str) -> None:
    with raises_naming(InputError, "patches of 4"):
        build(name, 8, 2).eval().patch_scores(torch.zeros(2, 8, 4, 4))


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {
        name: value.detach() for name, value in network.named_parameters() if name.endswith("weight") and value.ndim > 1
    }


def test_first_weights_are_the_published_ones() -> None:
    torch.manual_seed(0)
    for name in ("nn", "hu", "hamida", "chen", "li"):
        network = build(name, 103, 9)
        biases = [value for key, value in network.named_parameters() if key.endswith("bias")]
        assert biases
        assert not any(value.any() for value in biases), name
    assert all(0.045 < float(value.abs().max()) <= 0.05 for value in weights_of(build("hu", 103, 9)).values())
    spreads = [float(value.std()) for value in weights_of(build("chen", 103, 9)).values() if value.numel() > 1000]
    assert spreads == pytest.approx([0.001] * len(spreads), rel=0.05)
    for name in ("nn", "hamida", "sharma", "liu", "boulch"):  # Kaiming: a variance of 2 / fan-in, evenly spread or not
        check_kaiming(name)
    for name in ("he", "luo"):
        check_kaiming(name)
        assert all(
            float(value.abs().max()) <= (6 / value[0].numel()) ** 0.5 * 1.0001
            for value in weights_of(build(name, 51, 9)).values()
        )


def check_kaiming(name: str) -> None:
    for key, value in weights_of(build(name, 51, 9)).items():
        if value.numel() > 2000:
            assert float(value.var()) == pytest.approx(2 / value[0].numel(), rel=0.15), (name, key)


@pytest.mark.parametrize(("name", "weight"), [("liu", 1.0), ("boulch", 0.1)])
def test_semi_supervised_networks_reconstruct_the_centre(name: str, weight: float) -> None:
    torch.manual_seed(0)
    network = build(name, 20, 3)
    assert network.reconstruction_weight == weight
    patches = torch.rand(8, 20, network.patch_px, network.patch_px)
    scores, spectra = network.reconstruct(patches)
    assert (scores.shape, spectra.shape) == ((8, 3), (8, 20))
    (
        scores.square().mean() + (spectra - patches[:, :, network.patch_px // 2, network.patch_px // 2]).square().mean()
    ).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    network.eval()
    torch.testing.assert_close(network.reconstruct(patches)[0], network.patch_scores(patches))


def test_hamidas_spectral_dilation_sees_bands_farther_away() -> None:
    torch.manual_seed(0)
    reach = []
    for dilation in (1, 2):
        network = build("hamida", 60, 2, dilation=dilation)
        patch = torch.zeros(1, 60, 5, 5, requires_grad=True)
        network.features[:1](patch[:, None])[0, :, 0].sum().backward()
        reach.append(int(patch.grad.abs().sum((0, 2, 3)).nonzero().max()))
    assert reach == [2, 4]


def test_luos_image_is_the_memory_of_its_maps() -> None:
    torch.manual_seed(0)
    network = build("luo", 51, 3).eval()
    patch = torch.rand(1, 51, 3, 3)
    maps = torch.relu(network.spectral(patch[:, None]))  # (1, 90, T, 1, 1)
    image = maps.reshape(90 * network.length).view(1, 1, network.length, 90)
    expected = network.output(torch.relu(network.hidden(torch.relu(network.image(image)).flatten(1))))
    torch.testing.assert_close(network.patch_scores(patch), expected)


def test_lees_patch_is_labelled_at_its_centre_which_no_padding_reaches() -> None:
    torch.manual_seed(0)
    network = build("lee", 12, 3).eval()
    patch = torch.rand(2, 12, 5, 5)
    context = torch.conv2d(patch, network.context.weight, network.context.bias, padding=1)  # zeros, as published
    whole = network.joined(torch.cat([context, network.spectrum(patch)], dim=1))
    torch.testing.assert_close(network.patch_scores(patch), whole[:, :, 2, 2])


def test_lees_normalisation_is_torchs() -> None:
    network = build("lee", 12, 3)
    maps = 30 * torch.randn(2, 256, 3, 4)
    for layer, channels in ((network.joined[0], 256), (network.joined[3], 128)):
        expected = nn.LocalResponseNorm(channels)(maps[:, :channels])
        assert float((expected - maps[:, :channels]).abs().max()) > 1
        torch.testing.assert_close(layer(maps[:, :channels]), expected)


def test_the_network_of_li_takes_patches_of_its_size_and_of_others():
    for patch_px in (5, 7):
        assert build("li", 12, 3, patch_px=patch_px).patch_scores(torch.zeros(2, 12, patch_px, patch_px)).shape == (
            2,
            3,
        )
