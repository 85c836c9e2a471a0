"""The blur of a lens: its circle of confusion by similar triangles, its Gaussian by SciPy, near before far."""

import numpy as np
import pytest
import torch
from refusals import raises_naming
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate

from deepnets4eo.depth import BlurNet, ThinLens
from deepnets4eo.errors import InputError

LENS = ThinLens(focus_m=2)


def circle_by_triangles(depth_m: float, focus_m: float, f_number: float, focal_m: float, pixel_m: float) -> float:
    """The sensor lies where the focus is imaged; the cone of a point's light, as wide as the aperture, meets where the point is imaged."""
    sensor, point = (1 / (1 / focal_m - 1 / distance) for distance in (focus_m, depth_m))
    return focal_m / f_number * abs(point - sensor) / point / pixel_m


@pytest.mark.parametrize("depth_m", [0.4, 1.7, 2.0, 6.0, 1e6])
@pytest.mark.parametrize(("focus_m", "f_number", "focal_mm", "pixel_um"), [(2, 2.8, 15, 5.6), (8, 1.4, 50, 3.45)])
def test_the_circle_of_confusion_follows_from_similar_triangles(depth_m, focus_m, f_number, focal_mm, pixel_um):
    lens = ThinLens(focus_m=focus_m, f_number=f_number, focal_mm=focal_mm, pixel_um=pixel_um)
    circle = float(lens.circle_of_confusion_px(torch.tensor(depth_m, dtype=torch.float64)))
    assert abs(circle) == pytest.approx(circle_by_triangles(depth_m, focus_m, f_number, focal_mm / 1e3, pixel_um / 1e6))
    assert (circle < 0) == (depth_m < focus_m)


def test_a_plane_is_blurred_by_one_gaussian():
    image, depth = torch.rand(1, 3, 64, 64), torch.full((1, 64, 64), 1.0)
    sigma = 0.3 * circle_by_triangles(1.0, 2.0, 2.8, 0.015, 5.6e-6)
    expected = gaussian_filter(image[0].numpy(), (0, sigma, sigma), truncate=6)
    inner = slice(12, -12)
    np.testing.assert_allclose(LENS.blur(image, depth)[0, :, inner, inner], expected[:, inner, inner], atol=0.01)


def test_no_layer_is_black_whatever_its_depth():
    depth = torch.linspace(0.4, 9, 40)[None, :, None].expand(1, 40, 50)
    white = torch.ones(1, 3, 40, 50)
    np.testing.assert_allclose(LENS.blur(white, depth), 1, atol=1e-5)


def test_what_is_near_covers_what_is_far():
    left = (torch.arange(60) < 30).expand(1, 60, 60)
    image = left[:, None].float()  # white on the left, black on the right
    sharp_near = LENS.blur(image, torch.where(left, 2.0, 20.0))[0, 0, 30]
    assert sharp_near[:30].min() > 0.99, "the far side's blur never comes over a sharp near object"
    assert sharp_near[30:].max() < 0.01
    blurred_near = LENS.blur(image, torch.where(left, 0.5, 2.0))[0, 0, 30]
    assert 0.2 < blurred_near[32] < 0.6, "a blurred near object covers part of the sharp ground beside it"


def test_pixels_of_the_focus_stay_sharp_and_void_ones_are_far():
    image, depth = torch.rand(1, 2, 20, 20), torch.full((1, 20, 20), 2.0)
    assert torch.equal(LENS.blur(image, depth), LENS.blur(image, torch.full_like(depth, torch.nan)))
    np.testing.assert_allclose(LENS.blur(image, depth), image, atol=1e-6)
    depth[:, 5:9], filled = 0.0, depth.clone()
    depth[:, :2], filled[:, :2], filled[:, 5:9] = 7.0, 7.0, 7.0
    assert torch.equal(LENS.blur(image, depth), LENS.blur(image, filled))


def test_a_batch_is_blurred_as_its_images_are():
    images, depths = torch.rand(2, 3, 24, 32), 0.5 + 5 * torch.rand(2, 24, 32)
    together = LENS.blur(images, depths)
    for index in range(2):
        alone = LENS.blur(images[index : index + 1], depths[index : index + 1])
        np.testing.assert_allclose(together[index], alone[0], atol=1e-5)


def test_what_is_no_lens_is_refused():
    with raises_naming(InputError, "0.01", "15.0"):
        ThinLens(focus_m=0.01)
    for key in ("f_number", "focal_mm", "pixel_um"):
        with raises_naming(InputError, key, "0"):
            ThinLens(**{key: 0})
    assert ThinLens(pixel_um=0.5).pixel_um == 0.5
    with pytest.raises(InputError, match=r"expected \(N, C, H, W\) and \(N, H, W\)"):
        LENS.blur(torch.zeros(1, 3, 8, 8), torch.zeros(1, 8, 9))


@pytest.mark.parametrize("shape", [(16, 24), (10, 7), (5, 9)])
def test_the_network_of_blur_decides_from_means_of_its_finer_maps(shape):
    torch.manual_seed(0)
    network, image = BlurNet(2, 3, width=4).eval(), torch.rand(1, 2, *shape)
    with torch.no_grad():
        fine = network.fine(image)
        middle = network.middle(fine)
        coarse = network.coarse(middle)
        whole = torch.cat([_means(fine, 4), _means(middle, 2), coarse], dim=1)
        expected = interpolate(network.output(whole), shape, mode="bilinear")
        np.testing.assert_allclose(network(image), expected, atol=1e-5)


def _means(maps: torch.Tensor, side: int) -> torch.Tensor:
    """Means over squares of a side; those at the lower and right edge may be smaller."""
    shape = [-(-length // side) for length in maps.shape[2:]]
    cells = [[maps[..., side * row : side * (row + 1), side * col : side * (col + 1)].mean(dim=(2, 3)) for col in range(shape[1])]
             for row in range(shape[0])]  # fmt: skip
    return torch.stack([torch.stack(row, dim=-1) for row in cells], dim=-2)


def test_the_coarse_maps_of_blur_look_two_and_four_pixels_far():
    far = [part.dilation[0] for part in BlurNet(1, 1, width=2).coarse.modules() if isinstance(part, torch.nn.Conv2d)]
    assert far == [1, 2, 4]
