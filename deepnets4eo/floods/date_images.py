"""The images of a flood as they are given: each opened, recognised, its bands named.

Refuses images that do not overlap, without CRS where metres are needed, and one image given twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deepnets4eo.errors import InputError
from deepnets4eo.floods.date_kinds import recognise
from deepnets4eo.floods.layer_names import POST, PRE
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.inspection import CloudClassification
from deepnets4eo.options import split_names
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike
from deepnets4eo.read_as import IMAGE, Door, check_two_images
from deepnets4eo.registration import UNMOVED, MotionMatrix

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DateImage:
    """The image of one date.

    image : its bands that show water, named by what they show
    date : what it is, recognised once from the whole file, and not yet measured
    clouds : what a band of the image or a network states of clouds and shadows
    colours : red, green and blue of an image with infrared bands, if it has them
    motion : how it lies on POST, as in `Registration`
    """

    image: Layer
    date: WaterDate
    clouds: CloudClassification
    colours: Layer | None
    motion: MotionMatrix = field(default_factory=lambda: UNMOVED)


def open_images(
    pres: Sequence[LayerLike], post: LayerLike, options: FloodOptions, findings: list[Finding]
) -> dict[str, DateImage]:
    """Open the layers and return layer → image of its date; POST is the last. Errors: InputError."""
    opened = {f"{PRE}{number}": (pre, options.pre_bands) for number, pre in enumerate(pres, 1)}
    opened[POST] = (post, options.post_bands)
    images = {}
    for name, (source, bands) in opened.items():
        whole = _open(source, bands, options, name, findings)
        image, date = recognise(whole, options.sensor)
        images[name] = DateImage(image, date, CloudClassification.of(whole), date.colours(whole))
        log.info("%s is %s.", image.source, date.in_words)
    _check_images(images)
    return images


def _open(source: LayerLike, bands: str | None, options: FloodOptions, name: str, findings: list[Finding]) -> Layer:
    """Open a date with the names of its bands. Errors: InputError."""
    door = Door.of_image(name)
    checked = IMAGE.check(Layer.open(source, power=True).with_gsd(options.gsd_m), door)
    layer, findings[:] = checked.layer, [*findings, *checked.findings]
    if bands is not None:
        names = split_names(bands)
        if len(names) != layer.count:
            raise InputError(
                f"--set {name.split('_')[0]}_bands={bands} names {len(names)} bands, {layer.source} has {layer.count}. "
                "Name each band in its order."
            )
        layer = layer.with_names(names)
    assessed = IMAGE.look(layer, door)
    findings += assessed.findings
    return assessed.layer


def _check_images(images: Mapping[str, DateImage]) -> None:
    """Refuse one image given twice, images that do not overlap, and those in which their kind finds no water."""
    post = images[POST].image
    for name, opened in images.items():
        if name != POST:
            check_two_images(opened.image, post)
            opened.image.covered_share(post.grid, name)
    for opened in images.values():
        opened.date.check_image(opened.image)
