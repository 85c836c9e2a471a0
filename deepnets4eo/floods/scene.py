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

from deepnets4eo.floods.clouds import hide_clouds_of_dates
from deepnets4eo.floods.dates import FIRST, DateImage, open_dates
from deepnets4eo.floods.ground import lay_in_the_ground, open_cover
from deepnets4eo.floods.mapper import POST
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.relief import check_radar_view
from deepnets4eo.floods.sensors import Kind, Recognised
from deepnets4eo.floods.working_grid import on_working_grid, surface_grid
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.grid import Grid, mean_gsd_m, transform_shapes
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import Layer, LayerLike, Scene, without_implausible
from deepnets4eo.registration import Registration, assume_registered, register


@dataclass(frozen=True)
class FloodScene:
    """The dates on one grid.

    scene : the layers that `WaterMapper` reads
    post_grid : that of the image of POST, whose pixels may be finer
    kinds : layer → what it is
    recognised : image → what it is, with the unit of radar
    pictures : image → its true colours where it has them, for the page
    registration : how the first date before lies; None where there is none
    findings : what limits a map of them
    footprints : buildings, where they are given
    cover : land cover with its legend on the working grid, where it is given
    """

    scene: Scene
    post_grid: Grid
    kinds: dict[str, Kind]
    recognised: dict[str, Recognised]
    pictures: dict[str, Layer]
    registration: Registration | None
    findings: tuple[Finding, ...]
    footprints: Footprints | None = None
    cover: Layer | None = None

    @property
    def knows_before(self) -> bool:
        """Whether flood and permanent water are distinguished."""
        return any(name != POST for name in self.kinds)

    @property
    def outlines(self) -> NDArray[np.object_] | None:
        """Outlines (N,) of the buildings in the CRS of the map; None where none are given."""
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
    dates = open_dates(pres, post, options, findings)
    registrations = _register(dates, options)
    for name, registration in registrations.items():
        findings += _registration_findings(dates[name].image, registration)
        if registration.usable:
            dates[name] = replace(dates[name], motion=registration.matrix)
    image = dates[POST].image
    post_grid = image.grid
    grid = surface_grid(post_grid, mean_gsd_m(post_grid)) if dates[POST].kind == "surface" else post_grid
    layers, pictures = dict[str, Layer](), dict[str, Layer]()
    for name, date in dates.items():
        layers[name] = without_implausible(on_working_grid(date.image, date.kind, post_grid, grid, date.motion))
        pictures[name] = (
            layers[name]
            if date.colours is None
            else on_working_grid(date.colours, date.kind, post_grid, grid, date.motion)
        )
    check_radar_view(options)
    findings += hide_clouds_of_dates(layers, dates, options)
    kinds = {name: date.kind for name, date in dates.items()}
    findings += lay_in_the_ground(layers, kinds, options, grid, scratch)
    findings += _kind_findings(kinds, options, known=dates[POST].clouds.is_conclusive)
    if FIRST in dates:
        registrations.setdefault(FIRST, assume_registered(dates[FIRST].image, image))
    footprints = None if options.footprints is None else read_footprints(options.footprints, image=post_grid)
    if footprints is not None:
        footprints.check_inside(post_grid, image.source)
    cover = None if options.cover is None else open_cover(options.cover, grid)
    findings += () if footprints is None else footprints.findings()
    return FloodScene(
        Scene(layers, grid),
        post_grid,
        kinds,
        {name: date.recognised for name, date in dates.items()},
        pictures,
        registrations.get(FIRST),
        tuple(findings),
        footprints,
        cover,
    )


def _register(dates: Mapping[str, DateImage], options: FloodOptions) -> dict[str, Registration]:
    """How optical dates before lie on POST; dates of another kind than POST are left out."""
    last = dates[POST]
    if options.assume_registered or last.kind == "radar":
        return {}
    return {
        name: register(date.image, last.image, seed=options.seed)
        for name, date in dates.items()
        if name != POST and date.kind == last.kind
    }


def _registration_findings(image: Layer, registration: Registration) -> list[Finding]:
    if registration.status == "ok":
        return []
    return [Finding("registration_doubtful", "caution", {"source": image.source, "reason": registration.reason})]


def _kind_findings(kinds: dict[str, Kind], options: FloodOptions, *, known: bool) -> list[Finding]:
    """What the kinds of the dates mean for the map. known : whether a band of POST says where clouds are."""
    findings, before = [], {kind for name, kind in kinds.items() if name != POST}
    if not before:
        findings.append(Finding("no_date_before", "caution"))
    elif options.assume_registered or "radar" in kinds.values() or len({*before, kinds[POST]} - {"map"}) > 1:
        findings.append(Finding("registration_assumed", "note", wording="coordinates_trusted"))
    if "spectrum" in kinds.values() and not (known or options.cloud_mask_pre or options.cloud_mask_post):
        findings.append(Finding("no_cloud_mask", "note"))
    return findings
