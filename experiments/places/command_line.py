"""A case of a real place as a user would run it: its files, and the command line of `deepnets4eo damage`.

A job by the command line has a journal, scratch files and products, which a call of `assess` lacks: faults of these are seen only here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deepnets4eo.cli.main import main
from deepnets4eo.damage import DamageMap
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Window
from deepnets4eo.rasters import CogWriter, Layer

if TYPE_CHECKING:
    import geopandas as gpd

OPTIONS = {"gsd_m": "--gsd", "model": "--model"}  # settings with options; others have --set


def map_by_command(
    pre: Layer | None, post: Layer, outlines: gpd.GeoDataFrame, changes: Mapping[str, Any], event: str = ""
) -> DamageMap:
    """Make a map by the command line, with the shipped network. Errors: InputError for a job that is refused.

    pre, post, outlines : of the case; changes : settings by name; event : its name, "" for none
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        images = [
            "-" if image is None else image_file(image, folder / f"{date}.tif")
            for date, image in (("pre", pre), ("post", post))
        ]
        outlines.to_file(folder / "footprints.gpkg")
        words = ["damage", *images, str(folder / "footprints.gpkg"), "--out", str(folder / "map")]
        status = main([*words, *option_words(changes, has_crs=outlines.crs is not None, event=event)])
        if status not in (0, 3):  # done, or done and not to be used
            raise InputError(f"the job of {post.source} ended with status {status}. Its messages are above.")
        return DamageMap.load(folder / "map")


def option_words(changes: Mapping[str, Any], *, has_crs: bool, event: str = "") -> list[str]:
    """Return the options of a case. has_crs : whether its outlines have a CRS, so that they are not in pixels.

    >>> option_words({"gsd_m": 0.5, "align": False, "footprints_crs": "pixels"}, has_crs=False, event="Earthquake")
    ['--gsd', '0.5', '--set', 'align=False', '--footprints-crs', 'pixels', '--event', 'name=Earthquake']
    """
    words = []
    for name, value in changes.items():
        if name == "footprints_crs":
            words += [] if has_crs else ["--footprints-crs", str(value)]
        elif name in OPTIONS:
            words += [OPTIONS[name], str(value)]
        else:
            words += ["--set", f"{name}={value}"]
    return [*words, *(["--event", f"name={event}"] if event else [])]


def image_file(image: Layer, path: Path) -> str:
    """Return the file or folder of an image; write an image that is in memory. Errors: InputError."""
    if Path(image.source).exists():
        return image.source
    values, valid = image.read()
    nodata = None if valid.all() else 0
    with CogWriter(
        path, image.grid, count=len(values), dtype=image.dtype.name, nodata=nodata, band_names=image.band_names
    ) as cog:
        cog.write(Window(0, 0, *image.shape), values.astype(image.dtype))
    return str(path)
