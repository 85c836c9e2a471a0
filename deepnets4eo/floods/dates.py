"""The dates of a flood as they are given: each opened, recognised, its bands named.

Refuses images that do not overlap, without CRS where metres are needed, and one image given twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepnets4eo.errors import InputError
from deepnets4eo.floods.mapper import POST, PRE
from deepnets4eo.floods.optical import COARSEST_M
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.sensors import Kind, Recognised, in_colours, recognise
from deepnets4eo.grid import mean_gsd_m
from deepnets4eo.inspection import (
    CloudClassification,
    check_no_colour_table,
    check_two_images,
    declare_nodata,
)
from deepnets4eo.options import split_names
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.registration import UNMOVED, MotionMatrix

log = logging.getLogger(__name__)

FIRST = f"{PRE}1"
IN_WORDS: dict[Kind, str] = {
    "radar": "radar",
    "spectrum": "an optical image with infrared bands",
    "surface": "an optical image of fine pixels",
    "map": "a map of water",
}


@dataclass(frozen=True)
class DateImage:
    """The image of one date.

    image : its bands that show water, named by what they show
    recognised : what it is, recognised once from the whole file
    clouds : what a band of the image or a network states of clouds and shadows
    colours : red, green and blue of an image with infrared bands, where it has them
    motion : how it lies on POST, as in `Registration`
    """

    image: Layer
    recognised: Recognised
    clouds: CloudClassification
    colours: Layer | None
    motion: MotionMatrix = field(default_factory=lambda: UNMOVED)

    @property
    def kind(self) -> Kind:
        """How water is found in it."""
        return self.recognised.kind


def open_dates(
    pres: Sequence[LayerLike], post: LayerLike, options: FloodOptions, findings: list[Finding]
) -> dict[str, DateImage]:
    """Layer → image of its date; POST is the last. Errors: InputError."""
    opened = {f"{PRE}{number}": (pre, options.pre_bands) for number, pre in enumerate(pres, 1)}
    opened[POST] = (post, options.post_bands)
    dates = {}
    for name, (source, bands) in opened.items():
        whole = _open(source, bands, options, name, findings)
        date = recognise(whole, options.sensor)
        dates[name] = DateImage(
            date.image, date, CloudClassification.of(whole), in_colours(whole) if date.kind == "spectrum" else None
        )
        log.info("%s is %s.", date.image.source, IN_WORDS[date.kind])
    _check_images(dates)
    return dates


def _open(source: LayerLike, bands: str | None, options: FloodOptions, name: str, findings: list[Finding]) -> Layer:
    """A date with the names of its bands. Errors: InputError."""
    layer = Layer.open(source, power=True).with_gsd(options.gsd_m)
    check_no_colour_table(layer, name)
    if bands is not None:
        names = split_names(bands)
        if len(names) != layer.count:
            raise InputError(
                f"--set {name.split('_')[0]}_bands={bands} names {len(names)} bands, {layer.source} has {layer.count}. "
                "Name each band in its order."
            )
        layer = layer.with_names(names)
    return declare_nodata(layer, name, findings)


def _check_images(dates: Mapping[str, DateImage]) -> None:
    """Refuse one image given twice, images that do not overlap, and surfaces without metres or too coarse."""
    post = dates[POST].image
    for name, date in dates.items():
        if name != POST:
            check_two_images(date.image, post)
            date.image.covered_share(post.grid, name)
    for image in (date.image for date in dates.values() if date.kind == "surface"):
        if image.grid.crs is None:
            raise InputError(
                f"{image.source} has no CRS, and water in it is found by the size of its surfaces in metres. State the size of "
                "its pixels: --gsd METRES."
            )
        if mean_gsd_m(image.grid) > COARSEST_M:
            raise InputError(
                f"{image.source} has red, green and blue alone and pixels of {mean_gsd_m(image.grid):.3g} m; in such pixels water "
                f"is found by near or short-wave infrared, without them in pixels of at most {COARSEST_M:g} m. Give these bands."
            )
