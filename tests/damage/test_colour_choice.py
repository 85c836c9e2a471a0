"""All evidence and the network look at the red, green and blue that each image declares, wherever they stand in its file."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
from geotiff import write_geotiff
from rasterio.enums import ColorInterp

from deepnets4eo.damage import Settings, assess, open_inputs
from deepnets4eo.damage.images.checks import check_images
from deepnets4eo.damage.images.dates import in_colour, unknown_colours
from deepnets4eo.damage.images.working_grid import make_working_grid
from deepnets4eo.damage.network.find_buildings import to_working_image
from deepnets4eo.damage.network.pairs import make_scene
from deepnets4eo.inspection import inspect
from deepnets4eo.rasters import Layer
from deepnets4eo.registration import ImagePair
from deepnets4eo.synthetic import City

BAND_OF = {"red": 0, "green": 1, "blue": 2}
SETTINGS = Settings(workers=1, network=False)
NRGB, BGRN = ("nir", "red", "green", "blue"), ("blue", "green", "red", "nir")


@cache
def city() -> City:
    return City(seed=3, size_px=192)


@dataclass(frozen=True)
class Identity:
    """A registration that moves nothing."""

    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))
    usable: bool = True


def write(path: Path, image: np.ndarray, order: tuple[str, ...], **declared: object) -> str:
    """An image of (3, h, w) with its bands in this order and a made-up near infrared.

    declared : names, colours (interpretation) or waves (nm) of the bands.
    """
    infrared = np.random.default_rng(0).integers(1, 255, image.shape[1:], np.uint8)
    bands = np.stack([image[BAND_OF[name]] if name in BAND_OF else infrared for name in order])
    write_geotiff(
        path, bands, crs=city().post.grid.crs, transform=city().post.grid.affine, photometric="minisblack", alpha="NO"
    )
    with rasterio.open(path, "r+") as file:
        if "names" in declared:
            file.descriptions = declared["names"]
        if "colours" in declared:
            file.colorinterp = [ColorInterp[name] for name in declared["colours"]]
        for band, wave in enumerate(declared.get("waves", ()), start=1):
            file.update_tags(band, wavelength=str(wave), wavelength_units="nm")
    return str(path)


def pair(folder: Path, order: tuple[str, ...], *, post_alone: bool = False, **declared: object) -> tuple[str, str]:
    pre = ("red", "green", "blue") if post_alone else order
    return (
        write(folder / "pre.tif", city().pre.image[:3], pre, **({} if post_alone else declared)),
        write(folder / "post.tif", city().post.image[:3], order, **declared),
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The table of the images as red, green and blue."""
    images = pair(tmp_path_factory.mktemp("rgb"), ("red", "green", "blue"))
    return assess(*images, city().footprints(), settings=SETTINGS).buildings


@pytest.mark.parametrize(
    ("order", "declared", "post_alone"),
    [
        (NRGB, {"names": NRGB}, False),
        (BGRN, {"names": ("B", "G", "R", "NIR")}, False),
        (("blue", "green", "red"), {"names": ("Blue", "Green", "Red")}, True),
        (("blue", "green", "red"), {"colours": ("blue", "green", "red")}, True),
    ],
)
def test_the_order_of_declared_bands_changes_no_bit_of_the_table(expected, tmp_path, order, declared, post_alone):
    images = pair(tmp_path, order, post_alone=post_alone, **declared)
    found = assess(*images, city().footprints(), settings=SETTINGS)
    pd.testing.assert_frame_equal(pd.DataFrame(found.buildings), pd.DataFrame(expected), check_exact=True)
    assert not [finding for finding in found.findings if "colours" in finding.code]


@pytest.mark.parametrize(
    "declared",
    [{"names": NRGB}, {"colours": ("undefined", "red", "green", "blue")}, {"waves": (830, 660, 545, 480)}],
)
def test_evidence_networks_and_building_finder_get_the_same_three_bands(tmp_path, declared):
    four = Layer.open(write(tmp_path / "four.tif", city().post.image[:3], NRGB, **declared))
    three = Layer.open(city().post.image[:3], grid=city().post.grid)
    for make in (
        in_colour,
        lambda image: check_images(ImagePair(None, image)).post,
        lambda image: make_working_grid(image, three, Identity()).layers["pre"],
        lambda image: make_scene(image, three).layers["pre"],
        lambda image: to_working_image(image, 0.5),
    ):
        found, wanted = make(four), make(three)
        assert found.band_names == ["red", "green", "blue"]
        np.testing.assert_array_equal(found.read()[0], wanted.read()[0])


def test_bands_that_say_nothing_are_the_first_three_and_a_finding_says_how_to_name_them(tmp_path):
    image = city().post.image[:3]
    path = write(tmp_path / "four.tif", image, BGRN)
    checked = check_images(ImagePair(None, Layer.open(path)))
    np.testing.assert_array_equal(checked.post.read()[0], image[::-1])
    (finding,) = checked.findings
    assert finding.code == "unknown_colours_post"
    assert "has 4 bands and does not state which show red, green and blue" in finding.message
    assert "four.tif" in finding.message
    assert str(tmp_path) not in finding.whole, "folders of the user's are not shown on pages"
    assert "rio edit-info --colorinterp" in finding.remedy
    with rasterio.open(path, "r+") as file:  # which is what that command does
        file.colorinterp = [ColorInterp[name] for name in ("blue", "green", "red", "undefined")]
    checked = check_images(ImagePair(None, Layer.open(path)))
    assert checked.findings == ()
    np.testing.assert_array_equal(checked.post.read()[0], image)


@pytest.mark.parametrize("names", [BGRN, None])
def test_a_band_that_is_marked_as_alpha_and_is_no_mask_is_a_finding(tmp_path, names):
    named = {"names": names} if names else {}
    path = write(tmp_path / "four.tif", city().post.image[:3], BGRN, colours=("blue", "green", "red", "alpha"), **named)
    checked = check_images(ImagePair(None, Layer.open(path)))
    np.testing.assert_array_equal(checked.post.read()[0], city().post.image[:3])
    assert checked.post.read()[1].all()
    (finding,) = checked.findings
    assert finding.code == "unmasked_band_post"
    name = "nir" if names else "band_4"
    assert f"The post image {Path(path).name}: band {name!r} is marked as alpha" in finding.message
    assert "rio edit-info --colorinterp blue,green,red,undefined FILE" in finding.remedy
    assert any(f"band {name!r} is marked as alpha" in problem for problem in inspect(path).problems)
    with rasterio.open(path, "r+") as file:  # which is what that command does
        file.colorinterp = [ColorInterp[name] for name in ("blue", "green", "red", "undefined")]
    checked = check_images(ImagePair(None, Layer.open(path)))
    assert checked.findings == ()
    np.testing.assert_array_equal(checked.post.read()[0], city().post.image[:3])


def test_three_bands_chosen_by_number_are_red_green_and_blue_whatever_the_interpretation_says(tmp_path):
    path = write(
        tmp_path / "bgr.tif", city().post.image[:3], ("blue", "green", "red"), colours=("red", "green", "blue")
    )
    chosen = Layer.open(path, bands=[3, 2, 1])
    np.testing.assert_array_equal(in_colour(chosen).read()[0], city().post.image[:3])
    assert unknown_colours({"pre": None, "post": chosen}) == []


def test_an_array_has_no_names_to_declare_and_needs_no_word():
    layer = Layer.open(city().post.image, grid=city().post.grid)
    assert layer.count == 4
    assert check_images(ImagePair(None, layer)).findings == ()
    np.testing.assert_array_equal(in_colour(layer).read()[0], city().post.image[:3])


def test_images_of_one_and_two_bands_stay_as_they_are():
    for count in (1, 2):
        layer = Layer.open(city().post.image[:count])
        assert in_colour(layer) is layer


def test_the_job_sees_red_green_and_blue_alone(tmp_path):
    path = write(tmp_path / "four.tif", city().post.image[:3], BGRN, names=BGRN)
    inputs = open_inputs(None, path, city().footprints(), SETTINGS)
    assert inputs.post.bands == [3, 2, 1]
