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
        "raise_max_shift",
        "few_damaged",
        "mask_clouds_of_change",
        "declare_nodata",
    ),
    *("give_cloud_mask", "give_radar_or_mask", "give_true_cloud_mask", "give_water", "say_bands", "write_mask"),
}  # phrases of which remedies are put together
BY = "followed in "  # a test of another file


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


def dates(place: Path) -> tuple[set[str], set[str]]:
    """Tags that state the times of processing in the wrong order."""
    for name, year in (("pre", 2021), ("post", 2020)):
        with rasterio.open(place / f"{name}.tif", "r+") as file:
            file.update_tags(TIFFTAG_DATETIME=f"{year}:05:02 10:00:00")
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
    (remedy,) = (
        one["remedy"]
        for one in read_json(place / "out" / "summary.json")["findings"]
        if one["wording"] == "unknown_colours"
    )
    command = shlex.split(remedy[remedy.index("rio ") :].replace("FILE", str(place / "four.tif")))
    rio = "import sys; from rasterio.rio.main import main_group; main_group(sys.argv[1:])"
    subprocess.run([sys.executable, "-c", rio, *command[1:]], check=True)
    return before, findings(place, *words)


Followed = Callable[[Path], tuple[set[str], set[str]]]
REMEDIES: dict[str, Followed | str] = {
    "pixel_size_assumed.remedy": pixel_size,
    "no_crs.remedy": no_crs,
    "registration_assumed.remedy": assumed,
    "registration_failed.remedy": without_pre,
    "dates_reversed.remedy": dates,
    "no_date_before.remedy": date_before,
    "unknown_colours.remedy": colours,
    "count_not_told.remedy": BY + "damage/test_review_remedies.py",
    "few_damaged": BY + "damage/test_review_remedies.py",
    "name_the_hazard": "it narrows the interval on some maps only (Hatay 0–35 to 0–27), so a number that is not known does not name it",
    "graded_neighbours": BY + "experiments/test_graded_neighbours.py",
    "raise_max_shift": READER,
    "alignment_failed.remedy": READER,
    "alignment_failed_in_water.remedy": READER,
    "blocks_failed.remedy": "the cause has to be removed first",
    "buildings_in_old_or_new_water.remedy": OTHER_DATA,
    "buildings_in_water.remedy": READER,
    "footprints_moved_far.remedy": READER,
    "network_without_skill.remedy": OTHER_DATA,
    "pre_not_read.remedy": "it is a choice: the map without the network is less often right",
    "water_at_dry_hazard.remedy": READER,
    "change_under_clouds.remedy": OTHER_DATA,
    "features_of_photographs.remedy": OTHER_DATA,
    "few_changed.remedy": READER,
    "mask_clouds_of_change": OTHER_DATA,
    "most_changed.remedy": READER,
    "no_two_groups.remedy": READER,
    "refinement_shrinks.remedy": "without the refinement, nothing is left that could shrink",
    "spectra_of_small_pixels.remedy": OTHER_DATA,
    "flood_in_fields.remedy": OTHER_DATA,
    "flood_is_white.remedy": OTHER_DATA,
    "no_cloud_mask.remedy": BY + "floods/test_flood_job.py",
    "shore_of_the_sea.remedy": OTHER_DATA,
    "crs_without_position.remedy": NOT_INSTALLED,
    "dates_from_tags.remedy": READER,
    "declare_nodata": NOT_INSTALLED,
    "flood_at_dry_hazard.remedy": READER,
    "footprints_of_several_houses.remedy": NOT_INSTALLED,
    "give_cloud_mask": OTHER_DATA,
    "give_radar_or_mask": OTHER_DATA,
    "give_true_cloud_mask": OTHER_DATA,
    "give_water": OTHER_DATA,
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
    assert [name for name in elsewhere if not (ROOT / name).is_file()] == []


@pytest.mark.core("one comparison of two tables")
def test_no_command_of_a_remedy_has_a_gap() -> None:
    """What a reader has to fill in is a word in capitals, not an ellipsis."""
    assert [key for key in naming_commands() if "=…" in words_of(key)] == []


@pytest.mark.parametrize("key", [key for key, followed in REMEDIES.items() if callable(followed)])
def test_a_followed_remedy_ends_its_finding(key: str, place: Path) -> None:
    followed, code = REMEDIES[key], key.removesuffix(".remedy")
    assert callable(followed)
    before, after = followed(place)
    assert code in before
    assert code not in after
