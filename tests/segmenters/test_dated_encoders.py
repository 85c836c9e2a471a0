"""Galileo and Presto by their published tensor names equal a second computation, written out; Galileo's real file equals its own program.

Names and shapes: single_file_galileo.py and single_file_presto.py, read in 2026. The numbers of the real file were computed by the former.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from encoder_tensors import SIZES, WIDTH, Tensors, galileo, presto, through_blocks, waves
from refusals import raises_naming
from safetensors.torch import save_file
from torch import Tensor

from deepnets4eo.classification.frozen import FrozenImages
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import DatedMaps, TransformerSizes
from deepnets4eo.segmenters.dated_encoders import published_scaling

BANDS = ["B04", "B03", "B12", "B08", "height"]
GALILEO = {  # group → its bands, mean and deviation as published; the vegetation index stays as it is
    "S2_RGB": {"B02": (1395.341, 917.704), "B03": (1338.403, 913.299), "B04": (1343.099, 1092.679)},
    "S2_Red_Edge": {"B05": (1543.861, 1047.221), "B06": (2186.202, 1048.010), "B07": (2525.093, 1143.690)},
    "S2_NIR_10m": {"B08": (2410.338, 1098.979)}, "S2_NIR_20m": {"B8A": (2750.285, 1204.473)},
    "S2_SWIR": {"B11": (2234.911, 1145.977), "B12": (1474.531, 980.243)}, "NDVI": {"NDVI": (0.0, 0.0)},
}  # fmt: skip


def reflectance(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(100, 4000, shape).astype(np.float32)


def group_values(image: Tensor, group: str) -> Tensor | None:
    """Published values (bands, h, w) of a group of an image (5, h, w) of `BANDS`; what lacks is at its mean. None for groups without a band."""
    if group == "NDVI":
        return ((image[3] - image[0]) / (image[3] + image[0]))[None]
    if not {*GALILEO[group]} & {*BANDS}:
        return None
    return torch.stack(
        [
            (image[BANDS.index(band)] - (mean - 2 * deviation)) / (4 * deviation)
            if band in BANDS
            else torch.full(image.shape[1:], 0.5)
            for band, (mean, deviation) in GALILEO[group].items()
        ]
    )


def standardised(image: np.ndarray) -> Tensor:
    mean, deviation = published_scaling(BANDS)
    return torch.from_numpy(((image - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32))[None]


def loaded(path: Path, tensors: Tensors, bands: list[str], **sides: int) -> torch.nn.Module:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    sizes = TransformerSizes.of_file(path, bands)
    network = sizes.build(len(bands), sides.get("image_px", 16)).eval()
    sizes.load(network, path, bands, float(sizes.patch_px))
    return network.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("month", [None, 6])
def test_galileo_has_one_token_for_each_group_of_bands_and_patch(month: int | None, tmp_path: Path) -> None:
    tensors, image = galileo(), reflectance(5, 16, 16)
    months = tensors["month_embed.weight"]
    code_of_month = months.mean(dim=0) if month is None else months[month - 1]
    tokens = []
    for number, group in enumerate(SIZES):
        values = None if group == "S1" else group_values(torch.from_numpy(image), group)
        if values is None:
            continue
        root = f"space_time_embed.{group}.proj"
        for row in (0, 1):
            for column in (0, 1):
                patch = values[:, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
                seen = (tensors[f"{root}.weight"] * patch).sum((1, 2, 3)) + tensors[f"{root}.bias"]
                place = torch.tensor(waves(8 * column, 4) + waves(8 * row, 4))
                code = torch.cat([tensors["s_t_channel_embed"][number], tensors["pos_embed"][0], code_of_month, place])
                tokens.append(seen + code)
    assert len(tokens) == 4 * 4, "colours, near infrared, short-wave infrared and the index"
    made = through_blocks(torch.stack(tokens)[None], tensors, "blocks.", 2, heads=1, eps=1e-5)
    made = F.layer_norm(made, (WIDTH,), tensors["norm.weight"], tensors["norm.bias"], 1e-5)
    expected = made[0].reshape(4, 4, WIDTH).mean(dim=0).T.reshape(WIDTH, 2, 2)
    network = loaded(tmp_path / "galileo.safetensors", tensors, BANDS)
    torch.testing.assert_close(network.maps(standardised(image), month)[0], expected, rtol=1e-3, atol=1e-4)


def test_presto_describes_each_pixel_by_its_groups_and_an_unknown_place(tmp_path: Path) -> None:
    tensors, image = presto(), reflectance(5, 2, 1)
    part = {name.removeprefix("encoder."): value for name, value in tensors.items()}
    order = ["S1", "S2_RGB", "S2_Red_Edge", "S2_NIR_10m", "S2_NIR_20m", "S2_SWIR", "ERA5", "SRTM", "NDVI"]
    pixels = []
    for row in (0, 1):
        tokens = [part["latlon_embed.bias"]]
        for group in ("S2_RGB", "S2_NIR_10m", "S2_SWIR", "NDVI"):
            values = group_values(torch.from_numpy(image), group)[:, row, 0]
            if group != "NDVI":
                values = torch.stack(
                    [
                        torch.tensor(image[BANDS.index(band), row, 0] if band in BANDS else mean) / 10_000
                        for band, (mean, _) in GALILEO[group].items()
                    ]
                )
            seen = part[f"eo_patch_embed.{group}.weight"] @ values.float() + part[f"eo_patch_embed.{group}.bias"]
            code = [
                part["month_embed.weight"][8],
                part["channel_embed.weight"][order.index(group)],
                part["pos_embed"][0, 0],
            ]
            tokens.append(seen + torch.cat(code))
        made = through_blocks(torch.stack(tokens)[None], part, "blocks.", 2, heads=1, eps=1e-5)
        pixels.append(F.layer_norm(made.mean(dim=1), (WIDTH,), part["norm.weight"], part["norm.bias"], 1e-5)[0])
    network = loaded(tmp_path / "presto.safetensors", tensors, BANDS)
    given = network.maps(standardised(image), 9)[0, :, :, 0]
    torch.testing.assert_close(given, torch.stack(pixels, dim=1), rtol=1e-3, atol=1e-4)


def test_maps_take_reflectance_in_both_units_and_leave_invalid_pixels_out(tmp_path: Path) -> None:
    path, bands = tmp_path / "galileo.safetensors", ["B02", "B03", "B04", "B08"]
    save_file({name: value.contiguous() for name, value in galileo().items()}, path)
    image, valid = reflectance(4, 24, 16), np.ones((24, 16), bool)
    whole = DatedMaps(path, bands, np.full(4, 3900.0)).compute(image, valid, 6)
    assert whole.shape == (WIDTH, 3, 2)
    of_shares = DatedMaps(path, bands, np.full(4, 0.39)).compute(image / np.float32(10_000), valid, 6)
    np.testing.assert_allclose(of_shares, whole, rtol=1e-3, atol=1e-4)
    valid[:8, :8] = valid[8:10, :8] = False
    image[:, ~valid] = np.nan
    with_clouds = DatedMaps(path, bands, np.full(4, 3900.0)).compute(image, valid, 6)
    assert not with_clouds[:, 0, 0].any(), "no pixel of the first patch is valid"
    np.testing.assert_allclose(with_clouds[:, :, 1], whole[:, :, 1], atol=1e-5)
    assert np.isfinite(with_clouds).all()
    filled = image.copy()
    filled[:, 8:10, :8] = image[:, 10:16, :8].mean(axis=(1, 2))[:, None, None]
    means = DatedMaps(path, bands, np.full(4, 3900.0)).compute(np.nan_to_num(filled), np.ones_like(valid), 6)
    np.testing.assert_allclose(with_clouds[:, 1, 0], means[:, 1, 0], rtol=1e-3, atol=1e-4)
    with raises_naming(InputError, "255000", "reflectance", "galileo.safetensors"):
        DatedMaps(path, bands, np.full(4, 255_000.0))
    with raises_naming(InputError, "height", "Galileo", "data.file_bands"):
        DatedMaps(path, ["height"], np.ones(1))


def test_colour_features_of_the_shipped_encoder_come_before_those_of_the_file(tmp_path: Path) -> None:
    path, bands = tmp_path / "galileo.safetensors", ["B02", "B03", "B04", "B08"]
    save_file({name: value.contiguous() for name, value in galileo().items()}, path)
    sizes = TransformerSizes.of_file(path, bands).to_dict()
    common = {"bands": bands, "patch_px": 32, "views": 1}
    joined = FrozenImages(4, 2, weights=str(path), transformer=sizes, colour_features=True, **common).eval()
    plain = FrozenImages(4, 2, weights=str(path), transformer=sizes, **common).eval()
    colours = FrozenImages(3, 2, weights="efficientnet-lite0", bands=["B04", "B03", "B02"], patch_px=32).eval()
    images = torch.randn(2, 4, 32, 32)
    with torch.no_grad():
        given = joined.features(images)
        torch.testing.assert_close(given[:, 512:], plain.features(images))
        torch.testing.assert_close(given[:, :512], colours.features(images[:, [2, 1, 0]]))
        again = FrozenImages(4, 2, transformer=sizes, colour_features=True, **common).eval()  # as a run is loaded
        again.load_state_dict(joined.state_dict())
        torch.testing.assert_close(again.features(images), given)
    with raises_naming(InputError, "month=13"):
        FrozenImages(4, 2, weights=str(path), transformer=sizes, month=13, **common)


@pytest.mark.real_data
def test_the_real_file_of_galileo_gives_what_its_own_program_gives(real_data: Path) -> None:
    path = real_data / "eo_weights" / "galileo_nano" / "encoder.safetensors"
    if not path.is_file():
        pytest.skip(f"Galileo nano is not at {path}")
    bands = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
    rows, columns = np.mgrid[:16, :16]
    image = np.stack([1000 + 150 * number + 40 * rows + 25 * (columns % (3 + number)) for number in range(10)])
    mean, deviation = published_scaling(bands)
    network = TransformerSizes.of_file(path, bands).build(10, 16).eval()
    TransformerSizes.load(network, path, bands, 8.0)
    values = torch.from_numpy(((image - mean[:, None, None]) / deviation[:, None, None]).astype(np.float32))[None]
    with torch.no_grad():
        vectors = network.maps(values, 6)[0]
    assert vectors.shape == (128, 2, 2)
    np.testing.assert_allclose(vectors[:5, 0, 0], FIRST, atol=2e-4)
    np.testing.assert_allclose(vectors[-5:, 1, 1], LAST, atol=2e-4)
    assert math.isclose(float(vectors.norm()), NORM, rel_tol=1e-4)


FIRST = [0.07334999740123749, -0.007209999952465296, 0.1497199982404709, 0.08084999769926071, -0.04137999936938286]
LAST = [0.024650000035762787, 0.25119999051094055, -0.041179999709129333, -0.27316001057624817, 0.12633000314235687]
NORM = 3.3315
