"""The dates of a flood as one scene: each recognised, its bands named, placed on the grid of POST, clouds and slopes hidden.

Takes paths or layers of any CRS and resolution. Optical pairs are registered; radar dates, and dates of different
sensors, are assumed to be geocoded.

Refuses images that do not overlap, without CRS where metres are needed, and one image given twice.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.errors import GridError, InputError, LabelError
from deepnets4eo.floods.mapper import DRAINAGE, PERMANENT, POST, PRE
from deepnets4eo.floods.optical import COARSEST_M, LEAST_M2, SMALL_M2, WORKING_M, may_show_surface
from deepnets4eo.floods.options import FloodOptions
from deepnets4eo.floods.relief import check_radar_view, hide_relief
from deepnets4eo.floods.sensors import Kind, in_colours, recognise
from deepnets4eo.floods.water_masks import open_water_mask
from deepnets4eo.footprints import Footprints, read_footprints
from deepnets4eo.grid import Grid, Window, mean_gsd_m, only_one_placed, transform_shapes
from deepnets4eo.inspection import (
    check_no_colour_table,
    check_two_images,
    cloud_finding,
    clouds_in_image,
    declare_nodata,
    without_collar,
)
from deepnets4eo.options import split_names
from deepnets4eo.outputs import Finding
from deepnets4eo.rasters import (
    COLOURS,
    Layer,
    LayerLike,
    LayerView,
    Scene,
    cloud_band,
    open_cloud_mask,
    without_implausible,
)
from deepnets4eo.registration import UNMOVED, MotionMatrix, Registration, assume_registered, grid_in_pre, register
from deepnets4eo.segmenters import DISPLAY_RGB, needed_stretch, show
from deepnets4eo.terrain import open_further, place_further, unknown_share

log = logging.getLogger(__name__)

FIRST = f"{PRE}1"
PERMANENT_NAMES = ("permanent water", "water")  # classes of a map of water that count as --permanent-water
LEAST_GAP = 0.01  # of the ground, to be named
IN_WORDS: dict[Kind, str] = {
    "radar": "radar",
    "spectrum": "an optical image with infrared bands",
    "surface": "an optical image of fine pixels",
    "map": "a map of water",
}


@dataclass(frozen=True)
class FloodScene:
    """The dates on one grid.

    scene : the layers that `WaterMapper` reads
    post_grid : that of the image of POST, whose pixels may be finer
    kinds : layer → what it is
    pictures : image → its true colours where it has them, for the page
    registration : how the first date before lies; None where there is none
    findings : what limits a map of them
    footprints : buildings, where they are given
    cover : land cover with its legend on the working grid, where it is given
    """

    scene: Scene
    post_grid: Grid
    kinds: dict[str, Kind]
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
    images, kinds, clouds, colours = _open_dates(pres, post, options, findings)
    post_grid = images[POST].grid
    grid = surface_grid(post_grid, mean_gsd_m(post_grid)) if kinds[POST] == "surface" else post_grid
    layers, registrations, pictures, motions = {}, {}, dict[str, Layer](), dict[str, MotionMatrix]()
    for name, image in images.items():
        motion: MotionMatrix = UNMOVED
        if name != POST and kinds[name] == kinds[POST] != "radar" and not options.assume_registered:
            registrations[name] = register(image, images[POST], seed=options.seed)
            findings += _registration_findings(image, registrations[name])
            motion = registrations[name].matrix if registrations[name].usable else UNMOVED
        motions[name] = motion
        layers[name] = without_implausible(_on_working_grid(image, kinds[name], post_grid, grid, motion))
        in_colour = colours[name]
        pictures[name] = (
            layers[name] if in_colour is None else _on_working_grid(in_colour, kinds[name], post_grid, grid, motion)
        )
    check_radar_view(options)
    findings += _hide_clouds(layers, images, clouds, motions, kinds, options)
    before = _lay_in_the_ground(layers, kinds, options, grid, scratch, findings)
    findings += _gap_findings("not_seen_before", layers[POST], before)
    findings += _kind_findings(kinds, options, known=clouds[POST] is not None)
    if FIRST in images:
        registrations.setdefault(FIRST, assume_registered(images[FIRST], images[POST]))
    footprints = None if options.footprints is None else read_footprints(options.footprints, image=post_grid)
    if footprints is not None:
        footprints.check_inside(post_grid, images[POST].source)
    cover = None if options.cover is None else _open_cover(options.cover, grid)
    findings += () if footprints is None else footprints.findings()
    return FloodScene(
        Scene(layers, grid), post_grid, kinds, pictures, registrations.get(FIRST), tuple(findings), footprints, cover
    )


def _open_dates(
    pres: Sequence[LayerLike], post: LayerLike, options: FloodOptions, findings: list[Finding]
) -> tuple[dict[str, Layer], dict[str, Kind], dict[str, Layer | None], dict[str, Layer | None]]:
    """Images by their layer, how water is found in each, their masks of clouds and their natural colours. Errors: InputError."""
    opened = {f"{PRE}{number}": (pre, options.pre_bands) for number, pre in enumerate(pres, 1)}
    opened[POST] = (post, options.post_bands)
    images, kinds, clouds, colours = {}, dict[str, Kind](), dict[str, Layer | None](), dict[str, Layer | None]()
    for name, (source, bands) in opened.items():
        whole = _open(source, bands, options, name, findings)
        clouds[name] = cloud_band(whole)
        kinds[name], images[name] = recognise(whole, options.sensor)
        colours[name] = in_colours(whole) if kinds[name] == "spectrum" else None
        log.info("%s is %s.", images[name].source, IN_WORDS[kinds[name]])
    _check_images(images, kinds)
    return images, kinds, clouds, colours


def _lay_in_the_ground(
    layers: dict[str, Layer],
    kinds: dict[str, Kind],
    options: FloodOptions,
    grid: Grid,
    scratch: Path | None,
    findings: list[Finding],
) -> list[Layer]:
    """Hide relief from radar, add permanent water and heights above the drainage to the layers; returns those before the flood."""
    if options.dem is not None and scratch is not None and kinds[POST] == "radar":
        heights = _heights(options.dem, "--set dem", grid)
        layers[POST], hidden = hide_relief(layers[POST], heights, options, scratch)
        findings.append(hidden)
        findings += _gap_findings("no_relief", layers[POST], [heights])
    if options.permanent_water is not None:
        layers[PERMANENT] = open_water_mask(options.permanent_water, grid, "--permanent-water", PERMANENT_NAMES)
        kinds[PERMANENT] = "map"
    before = {name: layers[name] for name in kinds if name != POST}
    if len(before) > 1:
        layers |= {
            name: Layer(WithGaps(layer, [other for other in before.values() if other is not layer]))
            for name, layer in before.items()
        }
    if options.above_drainage is not None:
        heights = _heights(options.above_drainage, "--set above_drainage", grid)
        layers[DRAINAGE] = Layer(WithGaps(heights, [layers[POST]]))
        findings += _gap_findings("no_drainage", layers[POST], [heights])
    return list(before.values())


def _open(source: LayerLike, bands: str | None, options: FloodOptions, name: str, findings: list[Finding]) -> Layer:
    """A date with the names of its bands. Errors: InputError."""
    layer = Layer.open(source).with_gsd(options.gsd_m)
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


def _check_images(images: dict[str, Layer], kinds: dict[str, Kind]) -> None:
    """Refuse one image given twice, images that do not overlap, and surfaces without metres or too coarse."""
    post = images[POST]
    for name, image in images.items():
        if name != POST:
            check_two_images(image, post)
            image.covered_share(post.grid, name)
    for name, image in images.items():
        if kinds[name] != "surface":
            continue
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


def surface_grid(post_grid: Grid, gsd_m: float) -> Grid:
    """The grid of a fine optical image averaged to pixels of about 1 m, the size at which its surfaces are measured.

    post_grid : that of the image
    gsd_m : side of its pixels, metres

    Whole pixels are averaged; the last row and column may reach over the image.
    """
    factor = max(1, round(WORKING_M / gsd_m))
    if factor == 1:
        return post_grid
    rows, cols = (math.ceil(side / factor) for side in (post_grid.shape[0], post_grid.shape[1]))
    return GeoBox((rows, cols), post_grid.affine * Affine.scale(factor), post_grid.crs)


def surface_scene(
    pre: Layer | None, post: Layer, gsd_m: float, motion: MotionMatrix = UNMOVED, *, surfaces_alone: bool = False
) -> Scene:
    """A pair of fine optical images as `WaterMapper` reads it.

    Parameters
    ----------
    pre, post : red, green and blue before, if there is such an image, and after
    gsd_m : side of a pixel of POST, metres
    motion : (2, 3), how PRE lies, as in `Registration`
    surfaces_alone : no network looks for water: PRE is read only where POST may show a surface of water

    Returns
    -------
    Scene
        The layers `pre_1` and `post` on the grid of `surface_grid`.
    """
    grid = surface_grid(post.grid, gsd_m)
    images = {FIRST: (pre, motion), POST: (post, UNMOVED)}
    layers = {
        name: _on_working_grid(image.with_names(list(COLOURS)), "surface", post.grid, grid, moved)
        for name, (image, moved) in images.items()
        if image is not None
    }
    pixel_m = gsd_m * post.shape[1] / grid.shape[1]
    if surfaces_alone and pre is not None and np.prod(grid.shape) * pixel_m**2 >= SMALL_M2:
        layers[FIRST] = Layer(WhereSurfaces(layers[FIRST], layers[POST], LEAST_M2 / pixel_m**2))
    return Scene(layers, grid)


class WhereSurfaces(LayerView):
    """A date before, read only in windows in which POST may show a surface of water. Others are taken as valid: what is dry is no
    flood, whatever was there before."""

    def __init__(self, before: Layer, post: Layer, least_px: float) -> None:
        super().__init__(before, before.dtype, before.nodata)
        self._post, self._least_px = post, least_px

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if may_show_surface(self._post.read(window)[0], self._least_px):
            return self.choose(bands).read(window)
        size = (window.height, window.width)
        return np.zeros((len(bands), *size), self.dtype), np.ones(size, bool)


class WithGaps(LayerView):
    """A layer that hides nothing where it has no value itself: there it is NaN, and valid where one of some other layers is."""

    def __init__(self, layer: Layer, others: Sequence[Layer]) -> None:
        super().__init__(layer, np.float32, None)
        self._others = others

    def read(self, window: Window, bands: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        data, valid = self.choose(bands).read(window)
        values = np.where(valid, data, np.float32(np.nan)).astype(np.float32, copy=False)
        for other in self._others:
            if valid.all():
                break
            valid = valid | other.read(window)[1]
        return values, valid


def _on_working_grid(image: Layer, kind: Kind, post_grid: Grid, grid: Grid, motion: MotionMatrix) -> Layer:
    """A date on the working grid; fine images stretched to 8 bits."""
    if only_one_placed(image.grid, post_grid):
        raise GridError(
            f"{image.source} has no CRS, or POST has none; both must lie in one. Georeference it, e.g. with gdal_translate -a_srs."
        )
    seen_there = grid_in_pre(
        post_grid, motion, shape=(grid.shape[0], grid.shape[1]), scale=~grid.affine * post_grid.affine
    )
    resampling = "bilinear" if grid is post_grid else "average"
    averaged = without_collar(image.on(seen_there, resampling).with_grid(grid))
    return show(averaged, needed_stretch(DISPLAY_RGB, image) if kind == "surface" else None)


def _hide_clouds(
    layers: dict[str, Layer],
    images: dict[str, Layer],
    clouds: dict[str, Layer | None],
    motions: dict[str, MotionMatrix],
    kinds: dict[str, Kind],
    options: FloodOptions,
) -> list[Finding]:
    """Make what lies under clouds not valid: by the masks that were given, else by bands of the images, else as POST shows them."""
    from deepnets4eo.change import hide_clouds  # damage maps hide nothing here, and start sooner without

    cloud_masks = {
        FIRST: (options.cloud_mask_pre, "--set cloud_mask_pre"),
        POST: (options.cloud_mask_post, "--set cloud_mask_post"),
    }
    findings, post = [], layers[POST]
    for name in list(layers):
        source, flag = cloud_masks.get(name, (None, ""))
        cloud_layer = None if source is not None else clouds[name]
        if source is None and cloud_layer is None and name == POST and kinds[POST] in ("surface", "spectrum"):
            before = layers.get(FIRST) if kinds.get(FIRST) == kinds[POST] else None
            cloud_layer = clouds_in_image(post, before, 1.0 if post.grid.crs is None else mean_gsd_m(post.grid))
        if source is not None:
            layers[name] = hide_clouds(
                layers[name], open_cloud_mask(source, images[name], flag), post.grid, motions[name]
            )
        elif cloud_layer is not None:
            layers[name] = hide_clouds(
                layers[name], cloud_layer, post.grid, UNMOVED if cloud_layer.grid is post.grid else motions[name]
            )
            findings.append(
                cloud_finding(
                    cloud_layer,
                    images[name],
                    name,
                    "give_radar_or_mask",
                )
            )
    return [finding for finding in findings if finding is not None]


def _heights(source: str, flag: str, grid: Grid) -> Layer:
    """A raster of metres on the working grid. Errors: InputError, GridError."""
    return place_further(open_further(source, flag, "metres"), grid, flag)


def _gap_findings(code: str, post: Layer, others: Sequence[Layer]) -> list[Finding]:
    """How much of what POST shows none of some layers knows; nothing below a hundredth."""
    share = unknown_share(post, others) if others else 0.0
    return [] if share < LEAST_GAP else [Finding(code, "caution", {"share": share})]


def _open_cover(source: str, grid: Grid) -> Layer:
    """Land cover on the working grid. Errors: LabelError without a legend."""
    cover = Layer.open(source, labels=True)
    if cover.legend is None:
        raise LabelError(
            f"--set cover={cover.source} has no legend in its tags. Give labels that `deepnets4eo predict` wrote, or write the legend "
            "into the tag LEGEND (deepnets4eo datasets --legends NAME --json -)."
        )
    cover.covered_share(grid, "--set cover")
    return cover.on(grid, "nearest")


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
