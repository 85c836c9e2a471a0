"""The dates of a flood as one scene: on the grid of POST, clouds and slopes hidden, with what is known of the ground.

Takes paths or layers of any CRS and resolution. Optical pairs are registered; radar dates, and dates of different
sensors, are assumed to be geocoded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.floods.clouds import HiddenByClouds, hide_clouds_of_dates
from deepnets4eo.floods.date_images import DateImage, open_images
from deepnets4eo.floods.ground import lay_in_the_ground, open_cover
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.relief import check_radar_view
from deepnets4eo.floods.thresholds import FLOOD, PERMANENT_WATER
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.floods.working_grid import on_working_grid
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike, Scene, gdal_cache, widen_cache, without_implausible
from deepnets4eo.registration import Registration, assume_registered, register

# Registration reads windows all over both images several times. With the 128 MB of the other steps, GDAL decoded blocks anew for each pass:
# a flood of 4,096² pixels with six bands of 16 bits took 46 s of processor time, now 29 s, with 0.4 GB more (2026-11-29).
REGISTRATION_CACHE_BYTES = 512 << 20


@dataclass(frozen=True)
class FloodScene:
    """The dates on one grid.

    scene : the layers that `WaterMapper` reads
    post_grid : the grid of the image of POST, whose pixels may be finer
    dates : layer → its date, which `WaterMapper` measures
    pictures : image → its true colours, if it has them, for the page
    registration : how the first date before is registered; None without such a date
    findings : what limits a map of them
    hidden : what clouds hide
    footprints : buildings, if they are given
    cover : land cover with its legend on the working grid, if it is given
    """

    scene: Scene
    post_grid: Grid
    dates: dict[str, WaterDate]
    pictures: dict[str, Layer]
    registration: Registration | None
    findings: tuple[Finding, ...]
    hidden: HiddenByClouds
    footprints: Footprints | None = None
    cover: Layer | None = None

    @property
    def kinds(self) -> dict[str, str]:
        """Layer → kind of its date, as products state it."""
        return {name: date.kind for name, date in self.dates.items()}

    @property
    def images(self) -> dict[str, Layer]:
        """Role → image."""
        return {name: self.scene.layers[name] for name in self.dates}

    @property
    def dated(self) -> tuple[Layer | None, Layer]:
        """The first image before, if there is one, and POST."""
        return self.scene.layers.get(FIRST), self.scene.layers[POST]

    @property
    def mapped(self) -> int:
        """The label that the map is about: flood, or any water if the age of water is not known."""
        return FLOOD if self.knows_before else PERMANENT_WATER

    def __str__(self) -> str:
        return ", ".join(f"{name} {kind}" for name, kind in self.kinds.items())

    @property
    def knows_before(self) -> bool:
        """Return whether flood and permanent water are distinguished."""
        return any(name != POST for name in self.dates)

    @property
    def outlines(self) -> NDArray[np.object_] | None:
        """Return outlines (N,) of the buildings in the CRS of the map; None without buildings."""
        if self.footprints is None:
            return None
        return transform_shapes(self.post_grid.affine, self.footprints.in_pixels(self.post_grid))


def open_flood_scene(
    pres: Sequence[LayerLike], post: LayerLike, options: FloodOptions, scratch: Path | None = None
) -> FloodScene:
    """Open, recognise, register and mask all dates. scratch : folder for the mask of steep slopes; without it none is made.

    Errors: InputError, GridError.
    """
    findings: list[Finding] = []
    images = open_images(pres, post, options, findings)
    widen_cache(
        *(opened.image for opened in images.values())
    )  # filters, pictures and figures read each pixel several times
    registrations = _register(images, options)
    for name, registration in registrations.items():
        findings += _registration_findings(images[name].image, registration)
        if registration.usable:
            images[name] = replace(images[name], motion=registration.matrix)
    image = images[POST].image
    post_grid = image.grid
    grid = images[POST].date.working_grid(post_grid)
    layers, pictures = dict[str, Layer](), dict[str, Layer]()
    for name, opened in images.items():
        layers[name] = without_implausible(on_working_grid(opened.image, opened.date, post_grid, grid, opened.motion))
        pictures[name] = (
            layers[name]
            if opened.colours is None
            else on_working_grid(opened.colours, opened.date, post_grid, grid, opened.motion)
        )
    check_radar_view(options)
    hidden = hide_clouds_of_dates(layers, images, options)
    findings += hidden.findings
    dates = {name: opened.date for name, opened in images.items()}
    findings += lay_in_the_ground(layers, dates, options, grid, scratch)
    findings += _date_findings(dates, options, masked=images[POST].clouds.is_conclusive)
    if FIRST in images:
        registrations.setdefault(FIRST, assume_registered(images[FIRST].image, image))
    footprints = None if options.footprints is None else read_footprints(options.footprints, image=post_grid)
    if footprints is not None:
        footprints.check_inside(post_grid, image.source)
    cover = None if options.cover is None else open_cover(options.cover, grid)
    findings += () if footprints is None else footprints.findings()
    return FloodScene(
        Scene(layers, grid),
        post_grid,
        dates,
        pictures,
        registrations.get(FIRST),
        tuple(findings),
        hidden,
        footprints,
        cover,
    )


def _register(images: Mapping[str, DateImage], options: FloodOptions) -> dict[str, Registration]:
    """Return the positions of optical dates before on POST; dates of another kind than POST are left out."""
    last = images[POST]
    if options.assume_registered or not last.date.optical:
        return {}
    with gdal_cache(size_bytes=REGISTRATION_CACHE_BYTES):
        return {
            name: register(opened.image, last.image, seed=options.seed)
            for name, opened in images.items()
            if name != POST and opened.date.is_same_kind(last.date)
        }


def _registration_findings(image: Layer, registration: Registration) -> list[Finding]:
    if registration.status == "ok":
        return []
    return [
        Finding(
            "registration_doubtful", "caution", {"source": Finding.file_name(image.source), "reason": registration.why}
        )
    ]


def _date_findings(dates: Mapping[str, WaterDate], options: FloodOptions, *, masked: bool) -> list[Finding]:
    """Report what the kinds of the dates mean for the map. masked : whether a band of POST states where clouds are."""
    findings, images = [], [date for date in dates.values() if date.is_image]
    if len(dates) == 1:
        findings.append(Finding("no_date_before", "caution"))
    elif options.assume_registered or not all(date.optical and date.is_same_kind(dates[POST]) for date in images):
        findings.append(Finding("registration_assumed", "note", wording="coordinates_trusted"))
    masked = masked or bool(options.cloud_mask_pre or options.cloud_mask_post)
    if not masked and any(date.wants_cloud_mask for date in images):
        findings.append(Finding("no_cloud_mask", "note"))
    return findings
