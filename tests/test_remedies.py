"""Every remedy that names a command is followed on a map that gives it, and its finding goes; the others state why no test can follow them."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import made_up_town as town
import numpy as np
import pytest
import rasterio
from geotiff import write_geotiff
from scipy import ndimage
from shapely import affinity

from deepnets4eo.cli.main import main
from deepnets4eo.files import read_json
from deepnets4eo.outputs.wording import texts_of

ROOT = Path(__file__).parent
COMMAND = re.compile(
    r"(?<![\w-])--\w|`(?:deepnets4eo|train)|\b(?:gdal\w+(?:\.py)?|nearblack|ogr2ogr|rio) |\bgive - for PRE", re.I
)
NOT_INSTALLED = "a program of GDAL, which the package does not install"
OTHER_DATA = "it asks for other data, which no test has"
READER = "what it asks for is known only to the reader"
PARTS = {
    *(
        "name_the_hazard",
        "graded_neighbours",
        "look_at",
        "look_at_all",
        "raise_max_shift",
        "few_damaged",
        "mask_clouds_of_change",
        "declare_nodata",
    ),
    *("give_cloud_mask", "give_radar_or_mask", "give_true_cloud_mask", "give_water", "say_bands", "write_mask"),
}  # phrases of which remedies are put together
BY = "followed by "  # FILE::TEST, a test of another file
GIVES = {
    "raise_max_shift": "registration_failed",
    "mask_clouds_of_change": "change_under_clouds",
    "give_true_cloud_mask": "clouds",
    "give_water": "water_not_excluded",
    "declare_nodata": "undeclared_nodata",
}  # phrase → a finding whose remedy has it


def words_of(key: str) -> str:
    text = texts_of("en")[key]
    return " ".join(text) if isinstance(text, list) else text


def naming_commands() -> set[str]:
    """Keys of remedies, and of phrases that are put into them, that name a command or an option."""
    whole = {key for key in texts_of("en") if key.endswith(".remedy")}
    return {key for key in whole | PARTS if COMMAND.search(words_of(key))}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Both photos of the town and its outlines, with a CRS, and as plain pixels."""
    georeferenced = {"crs": town.GRID.crs, "transform": town.GRID.affine}
    for name, after in (("pre", False), ("post", True)):
        write_geotiff(tmp_path / f"{name}.tif", town.photo(after=after), **georeferenced)
        write_geotiff(tmp_path / f"plain_{name}.tif", town.photo(after=after), crs=None)
    houses = town.outlines()
    houses.to_file(tmp_path / "houses.gpkg")
    to_pixels = ~town.GRID.affine
    in_pixels = houses.geometry.affine_transform(
        [to_pixels.a, to_pixels.b, to_pixels.d, to_pixels.e, to_pixels.c, to_pixels.f]
    )
    houses.set_crs(None, allow_override=True).set_geometry(in_pixels.set_crs(None, allow_override=True)).to_file(
        tmp_path / "plain.gpkg"
    )
    return tmp_path


def findings(place: Path, *words: str) -> set[str]:
    """Codes of the findings of a map, made by the command line."""
    out = place / "out"
    at = [str(place / word) if (place / word).is_file() else word for word in words]
    assert main([*at, "--out", str(out), "--overwrite"]) in (0, 3), "3 for a map that is not to be used"
    given = read_json(out / "summary.json")["findings"]
    return {finding["wording"] or finding["code"] for finding in given}


def run_rio(place: Path, wording: str, file: str) -> None:
    """Run the command of rio that the remedy of a finding names, with the file in the place of FILE."""
    given = read_json(place / "out" / "summary.json")["findings"]
    (remedy,) = (one["remedy"] for one in given if wording in (one["wording"], one["code"]))
    command = shlex.split(remedy[remedy.index("rio ") :].rstrip(".").replace("FILE", str(place / file)))
    rio = "import sys; from rasterio.rio.main import main_group; main_group(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", rio, *command[1:]], check=True)


DAMAGE = ("damage", "pre.tif", "post.tif", "houses.gpkg", "--set", "network=no")


def pixel_size(place: Path) -> tuple[set[str], set[str]]:
    plain = (
        "damage",
        "plain_pre.tif",
        "plain_post.tif",
        "plain.gpkg",
        "--footprints-crs",
        "pixels",
        "--set",
        "network=no",
    )
    return findings(place, *plain), findings(place, *plain, "--gsd", str(town.GSD_M))


def no_crs(place: Path) -> tuple[set[str], set[str]]:
    plain = ("change", "plain_pre.tif", "plain_post.tif")
    return findings(place, *plain), findings(place, *plain, "--gsd", str(town.GSD_M))


def assumed(place: Path) -> tuple[set[str], set[str]]:
    return findings(place, *DAMAGE, "--assume-registered"), findings(place, *DAMAGE)


def without_pre(place: Path) -> tuple[set[str], set[str]]:
    """Another town before."""
    other = town.photo(after=False, seed=5)
    write_geotiff(place / "other.tif", other, crs=town.GRID.crs, transform=town.GRID.affine)
    words = ("damage", "other.tif", "post.tif", "houses.gpkg", "--set", "network=no")
    return findings(place, *words), findings(place, words[0], "-", *words[2:])


def state_years(place: Path, **years: int) -> None:
    """State the year of each image by its tag of time."""
    for name, year in years.items():
        with rasterio.open(place / f"{name}.tif", "r+") as file:
            file.update_tags(TIFFTAG_DATETIME=f"{year}:05:02 10:00:00")


def dates(place: Path) -> tuple[set[str], set[str]]:
    """Tags that state the times of processing in the wrong order."""
    state_years(place, pre=2021, post=2020)
    event = ("--event", "date_pre=2020-05-02", "--event", "date_post=2021-05-02")
    return findings(place, *DAMAGE), findings(place, *DAMAGE, *event)


def date_before(place: Path) -> tuple[set[str], set[str]]:
    return findings(place, "flood", "post.tif"), findings(place, "flood", "pre.tif", "post.tif")


def colours(place: Path) -> tuple[set[str], set[str]]:
    """An image of four bands that states no colours, written so that GDAL assumes none."""
    image = np.concatenate([town.photo(after=True), town.photo(after=True)[:1]])
    write_geotiff(place / "four.tif", image, crs=town.GRID.crs, transform=town.GRID.affine)
    with rasterio.open(place / "four.tif", "r+") as file:
        file.colorinterp = [rasterio.enums.ColorInterp.undefined] * 4
    words = ("damage", "pre.tif", "four.tif", "houses.gpkg", "--set", "network=no")
    before = findings(place, *words)
    run_rio(place, "unknown_colours", "four.tif")
    return before, findings(place, *words)


def clouds_of_change(place: Path) -> tuple[set[str], set[str]]:
    """A cloud on the first day, a green field on the second."""
    rng, (row, col) = np.random.default_rng(0), np.indices((128, 128))
    ground = np.array([190.0, 150, 110])[:, None, None] * np.kron(rng.uniform(0.7, 1.3, (32, 32)), np.ones((4, 4)))
    cloud = (row - 50) ** 2 + (col - 50) ** 2 < 24**2
    green = np.where((row > 100) & (col < 30), np.array([40.0, 110, 50])[:, None, None], ground)
    for name, day in (("day1", np.where(cloud, 253.0, ground)), ("day2", green)):
        noisy = (day + rng.normal(0, 2, day.shape)).clip(1, 255)
        write_geotiff(place / f"{name}.tif", noisy.astype(np.uint8), gsd=10.0)
    write_geotiff(place / "mask.tif", cloud[None].astype(np.uint8), gsd=10.0)
    words = ("change", "day1.tif", "day2.tif", "--assume-registered")
    return findings(place, *words), findings(place, *words, "--cloud-mask-pre", "mask.tif")


def far_images(place: Path) -> tuple[set[str], set[str]]:
    """The image before 20 m off; the first search ends at 8 m."""
    moved = np.roll(town.photo(after=False), (40, 0), (1, 2))
    write_geotiff(place / "pre.tif", moved, crs=town.GRID.crs, transform=town.GRID.affine)
    return findings(place, *DAMAGE, "--set", "max_shift_m=8"), findings(place, *DAMAGE, "--set", "max_shift_m=40")


def sloppy_outlines(place: Path) -> tuple[set[str], set[str]]:
    """Outlines drawn by hand, each up to 7 m off its building in another direction."""
    houses, rng = town.outlines(), np.random.default_rng(0)
    houses.geometry = [affinity.translate(shape, *rng.uniform(-7, 7, 2)) for shape in houses.geometry]
    houses.to_file(place / "houses.gpkg")
    return findings(place, *DAMAGE), findings(place, *DAMAGE, "--set", "align=no")


def clouds_of_damage(place: Path) -> tuple[set[str], set[str]]:
    """A bright, smooth part that is no cloud by the mask that is given."""
    image = town.photo(after=True).copy()
    smooth = np.random.default_rng(0).normal(225, 4, (60, town.SIDE, town.SIDE)).mean(axis=0)
    image[:, :, :280] = smooth[:, :280].astype(np.uint8)
    for name, values in (("post", image), ("clear", np.zeros((1, town.SIDE, town.SIDE), np.uint8))):
        write_geotiff(place / f"{name}.tif", values, crs=town.GRID.crs, transform=town.GRID.affine)
    return findings(place, *DAMAGE), findings(place, *DAMAGE, "--cloud-mask", "clear.tif")


def water_map(place: Path) -> tuple[set[str], set[str]]:
    dry = np.zeros((1, town.SIDE, town.SIDE), np.uint8)
    write_geotiff(place / "dry.tif", dry, crs=town.GRID.crs, transform=town.GRID.affine)
    return findings(place, *DAMAGE), findings(place, *DAMAGE, "--water", "dry.tif")


def nodata(place: Path) -> tuple[set[str], set[str]]:
    """A black margin, declared by the command that the finding names."""
    image = town.photo(after=True).copy()
    image[:, :, :150] = 0
    write_geotiff(place / "post.tif", image, crs=town.GRID.crs, transform=town.GRID.affine)
    before = findings(place, *DAMAGE)
    run_rio(place, "undeclared_nodata", "post.tif")
    return before, findings(place, *DAMAGE)


def dates_of_tags(place: Path) -> tuple[set[str], set[str]]:
    state_years(place, pre=2020, post=2021)
    event = ("--event", "date_pre=2020-05-01", "--event", "date_post=2021-05-01")
    return findings(place, *DAMAGE), findings(place, *DAMAGE, *event)


def unrefined(place: Path) -> tuple[set[str], set[str]]:
    """Changes of single pixels, which the fit to edges smooths away."""
    rng = np.random.default_rng(0)
    ground = ndimage.gaussian_filter(rng.normal(size=(3, 128, 128)), (0, 3, 3)) * 90 + 110
    for name in ("day1", "day2"):
        noisy = (ground + rng.normal(0, 1, ground.shape)).clip(1, 255)
        write_geotiff(place / f"{name}.tif", noisy.astype(np.uint8), gsd=10.0)
    words = ("change", "day1.tif", "day2.tif", "--assume-registered")
    before = findings(place, *words)
    smoothed_ha = read_json(place / "out" / "summary.json")["area"]["changed_ha"]
    after = findings(place, *words, "--no-refine")
    assert read_json(place / "out" / "summary.json")["area"]["changed_ha"] > 2 * smoothed_ha
    return before, after


def flood_after_fire(place: Path) -> tuple[set[str], set[str]]:
    """A lake that appeared, under the name of a fire."""
    rng = np.random.default_rng(0)
    before = rng.normal([[[115]], [[100]], [[95]]], [[[12]], [[9]], [[8]]], (3, 256, 256))
    after = before + rng.normal(0, 2, before.shape)
    after[:, 60:200, 60:200] = np.array([60.0, 80, 50])[:, None, None]
    for name, day in (("day1", before), ("day2", after)):
        write_geotiff(place / f"{name}.tif", day.clip(1, 255).astype(np.uint8), gsd=1.0)
    words = ("flood", "day1.tif", "day2.tif", "--set", "assume_registered=true", "--event")
    return findings(place, *words, "name=Wildfire"), findings(place, *words, "name=Flood")


def cloud_masks(place: Path) -> tuple[set[str], set[str]]:
    """Two days of a river that rises, in green and near infrared."""
    rng, row = np.random.default_rng(0), np.indices((160, 160))[0]
    for name, wide in (("day1", 10), ("day2", 40)):
        water = abs(row - 80) < wide
        bands = np.stack([np.where(water, 900, 1000), np.where(water, 200, 3000)]) + rng.normal(0, 60, (2, 160, 160))
        write_geotiff(place / f"{name}.tif", bands.astype(np.uint16), gsd=10.0)
        with rasterio.open(place / f"{name}.tif", "r+") as file:
            file.descriptions = ("green", "nir")
    write_geotiff(place / "clear.tif", np.zeros((1, 160, 160), np.uint8), gsd=10.0)
    words = ("flood", "day1.tif", "day2.tif", "--set", "assume_registered=true")
    masks = [f"cloud_mask_{date}={place / 'clear.tif'}" for date in ("pre", "post")]
    return findings(place, *words), findings(place, *words, "--set", masks[0], "--set", masks[1])


Followed = Callable[[Path], tuple[set[str], set[str]]]
REMEDIES: dict[str, Followed | str] = {
    "pixel_size_assumed.remedy": pixel_size,
    "no_crs.remedy": no_crs,
    "registration_assumed.remedy": assumed,
    "registration_failed.remedy": without_pre,
    "dates_reversed.remedy": dates,
    "no_date_before.remedy": date_before,
    "unknown_colours.remedy": colours,
    "raise_max_shift": far_images,
    "alignment_failed.remedy": sloppy_outlines,
    "dates_from_tags.remedy": dates_of_tags,
    "change_under_clouds.remedy": clouds_of_change,
    "mask_clouds_of_change": clouds_of_change,
    "refinement_shrinks.remedy": unrefined,
    "flood_at_dry_hazard.remedy": flood_after_fire,
    "no_cloud_mask.remedy": cloud_masks,
    "give_true_cloud_mask": clouds_of_damage,
    "give_water": water_map,
    "declare_nodata": nodata,
    "count_not_told.remedy": BY
    + "damage/test_review_remedies.py::test_twenty_buildings_that_were_drawn_and_answered_can_be_put_into_the_map",
    "few_damaged": BY
    + "damage/test_review_remedies.py::test_twenty_buildings_that_were_drawn_and_answered_can_be_put_into_the_map",
    "water_at_dry_hazard.remedy": BY
    + "damage/test_inundation.py::test_water_that_the_images_show_outweighs_a_dry_hazard_which_is_reported_first",
    "name_the_hazard": "it narrows the interval on some maps only (Hatay 0–35 to 0–27), so a number that is not known does not name it",
    "graded_neighbours": BY
    + "experiments/test_graded_neighbours.py::test_a_fit_has_the_graded_buildings_of_the_other_cities_alone",
    "age_of_water_unknown.remedy": BY
    + "floods/test_permanent.py::test_a_map_of_permanent_water_states_the_age_of_water_that_no_image_shows",
    "alignment_failed_in_water.remedy": READER,
    "blocks_failed.remedy": "the cause has to be removed first",
    "buildings_in_old_or_new_water.remedy": OTHER_DATA,
    "buildings_in_water.remedy": READER,
    "footprints_moved_far.remedy": READER,
    "network_without_skill.remedy": OTHER_DATA,
    "pre_not_read.remedy": "it is a choice: the map without the network is less often right",
    "features_of_photographs.remedy": OTHER_DATA,
    "few_changed.remedy": READER,
    "spectra_of_small_pixels.remedy": OTHER_DATA,
    "flood_in_fields.remedy": OTHER_DATA,
    "flood_is_white.remedy": OTHER_DATA,
    "shore_of_the_sea.remedy": OTHER_DATA,
    "crs_without_position.remedy": NOT_INSTALLED,
    "footprints_of_several_houses.remedy": NOT_INSTALLED,
    "perhaps_heights.remedy": OTHER_DATA,
    "give_cloud_mask": OTHER_DATA,
    "give_radar_or_mask": OTHER_DATA,
    "laid_by_pixels.remedy": NOT_INSTALLED,
    "say_bands": "as unknown_colours.remedy, with the words of a mask",
    "write_mask": NOT_INSTALLED,
    "dates_do_not_fit.remedy": OTHER_DATA,
    "dates_fit_weakly.remedy": OTHER_DATA,
    "dates_position_unknown.remedy": OTHER_DATA,
}


@pytest.mark.core("one comparison of two tables")
def test_each_remedy_that_names_a_command_is_followed_or_states_why_not() -> None:
    assert naming_commands() == REMEDIES.keys()
    elsewhere = {text.removeprefix(BY) for text in REMEDIES.values() if isinstance(text, str) and text.startswith(BY)}
    for file, _, test in (name.partition("::") for name in elsewhere):
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8")


@pytest.mark.core("one comparison of two tables")
def test_no_command_of_a_remedy_has_a_gap() -> None:
    """What a reader has to fill in is a word in capitals, not an ellipsis."""
    assert [key for key in naming_commands() if "=…" in words_of(key)] == []


@pytest.mark.beyond_core
@pytest.mark.parametrize("key", [key for key, followed in REMEDIES.items() if callable(followed)])
def test_a_followed_remedy_ends_its_finding(key: str, place: Path) -> None:
    followed, code = REMEDIES[key], GIVES.get(key, key.removesuffix(".remedy"))
    assert callable(followed)
    before, after = followed(place)
    assert code in before
    assert code not in after
