"""Rasters of surface height, height above ground, vegetation index and slope, made block by block."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import READ_PX, Grid, Window, blocks, gsd_m, window_under
from deepnets4eo.jobs import new_output
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.prefetch import in_order
from deepnets4eo.rasters import (
    CogWriter,
    Layer,
    LayerLike,
    Scene,
    layer_names,
    normalised_difference,
    role_indices,
    same_grid,
)
from deepnets4eo.read_as import IMAGE, Door, check_same_datum
from deepnets4eo.terrain.further_rasters import Measure, open_further
from deepnets4eo.terrain.ground_filter import MAX_BUILDING_M, reach_px
from deepnets4eo.terrain.heights import (
    PlausibleHeight,
    check_above_ground,
    impossible,
    ndsm,
    slope_deg,
    warn_of_impossible,
    warn_of_shifted_ground,
)

Channel = Literal["dsm", "ndsm", "ndvi", "slope"]

PUBLISHED: tuple[Channel, ...] = ("dsm", "ndsm", "ndvi")
SAMPLE_PX = 4096  # heights of a block by which it is seen where the ground lies
ALIGNED_PX = 64  # coarse steps of the terrain's bridging fall on the same pixels in all blocks

_log = logging.getLogger(__name__)


def composite_raster(
    dsm: LayerLike,
    out: str | Path,
    *,
    image: LayerLike | None = None,
    dtm: LayerLike | None = None,
    channels: Sequence[str] = PUBLISHED,
    bands: Sequence[str] | None = None,
    max_building_m: float = MAX_BUILDING_M,
    gsd_m: float | None = None,
    block_px: int = READ_PX,
    overwrite: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Path:
    """Write heights, heights above ground, vegetation index and slope as a COG on the surface model's grid.

    Audebert et al. (ACCV 2016, ISPRS J. 2018) use DSM, nDSM and NDVI on eight bits, in an order and a scaling that
    could not be verified. Here values keep their units.

    Memory: O((block_px + 4·max_building_m / gsd)²) per core and GDAL's block cache, whatever the raster's size.

    Parameters
    ----------
    dsm : surface model, one band, in metres or in the unit that it states; a CRS only in feet is refused, as its heights may be feet
    out : the file to write: float32, NaN for no data
    image : image that NDVI is computed from
    dtm : terrain model, one band, as `dsm`
    channels : bands to write: dsm (m), ndsm (height above ground, m), ndvi (−1…1), slope (°)
    bands : roles of the image's bands ("nir", "red" …), if its file does not name them
    max_building_m : width of the largest building in metres, if there is no dtm, see `ground`
    gsd_m : size of a pixel in metres, for rasters without CRS; by default 1
    block_px : side of the blocks, pixels
    overwrite : whether an existing file is replaced
    progress : called with the share done, 0–1

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OutputError
        If `out` exists and must not be overwritten.
    InputError
        For several bands of heights, heights that may be in feet, channels that cannot be made or contain only nodata,
        and inputs that no channel needs.
    GridError
        For an image or dtm of another site.
    """
    _check_channels(channels, image=image, dtm=dtm)
    if not 0 < max_building_m < math.inf:
        raise InputError(f"max_building_m is {max_building_m}, expected metres above 0.")
    check_not_inputs([out], [dsm, dtm, image])
    measure: Measure | None = None if set(channels) == {"ndvi"} else "metres"
    layers = {"dsm": open_further(dsm, "dsm", measure, gsd_m=gsd_m)}
    if dtm is not None:
        terrain = open_further(dtm, "dtm", measure, gsd_m=gsd_m)
        layers["dtm"] = _fit_for_warp(terrain, layers["dsm"].grid)
    if image is not None:
        door = Door("the image")
        opened = IMAGE.check(Layer.open(image).with_gsd(gsd_m), door).layer
        layers["image"] = IMAGE.look(_infrared_and_red(opened, bands), door).report()
    if "dtm" in layers and "ndsm" in channels:
        surface, terrain = layers["dsm"], layers["dtm"]
        check_same_datum(surface.height_crs, terrain.height_crs, (surface.source, terrain.source))
    warped = Scene(layers).layers
    composite = _Composite(warped["dsm"], warped.get("dtm"), warped.get("image"), tuple(channels), max_building_m)
    with new_output(out, overwrite=overwrite):
        _write(composite, Path(out), block_px, progress)
    return Path(out)


class _HeightBlock(NamedTuple):
    """Values (C, h, w) float32 of a window, how many heights of each raster in it are impossible, and some of those above ground (n,)."""

    values: FloatImage
    impossible: Counter[str]
    above: FloatImage


@dataclass(frozen=True)
class _Composite:
    """Inputs of all blocks; the layers are on the surface's grid, `colours` are near infrared and red."""

    surface: Layer
    terrain: Layer | None
    colours: Layer | None
    channels: tuple[str, ...]
    max_building_m: float

    @property
    def tags(self) -> dict[str, str]:
        """Return tags with the source of the ground, and the synthetic mark of the inputs."""
        layers = [self.surface, self.terrain, self.colours]
        synthetic = [layer.tags["SYNTHETIC"] for layer in layers if layer is not None and layer.synthetic]
        tags = {"SYNTHETIC": synthetic[0]} if synthetic else {}
        if "ndsm" in self.channels:
            tags["GROUND"] = "zhang" if self.terrain is None else self.terrain.source
        return tags

    @property
    def side_m(self) -> float:
        """Side of a pixel in metres, the mean of both."""
        return sum(gsd_m(self.surface.grid)) / 2

    @property
    def halo_px(self) -> int:
        """Return how far around a block its channels depend on heights."""
        if "ndsm" in self.channels and self.terrain is None:
            return math.ceil(reach_px(self.side_m, self.max_building_m) / ALIGNED_PX) * ALIGNED_PX
        return int("slope" in self.channels)

    def block(self, window: Window) -> _HeightBlock:
        """Compute the channels in a window."""
        around = window.grow(self.halo_px).clip(self.surface.shape)
        upper, wrong = _heights(self.surface, around)
        inner = window.within(around).slices
        lower = None
        counts = Counter({f"dsm ({self.surface.source})": int(wrong[inner].sum())})
        if self.terrain is not None:
            lower, wrong = _heights(self.terrain, around)
            counts[f"dtm ({self.terrain.source})"] = int(wrong[inner].sum())
        measures: dict[str, Callable[[], FloatImage]] = {
            "dsm": lambda: upper[inner],
            "ndsm": lambda: self._above(upper, lower)[inner],
            "ndvi": lambda: self._ndvi(window),
            "slope": lambda: slope_deg(upper, gsd_m(self.surface.grid))[inner],
        }
        values = np.stack([measures[channel]() for channel in self.channels])
        above = (
            values[self.channels.index("ndsm")]
            if "ndsm" in self.channels and self.terrain is not None
            else values[0, :0]
        )
        known = above[np.isfinite(above)]
        return _HeightBlock(values, counts, known[:: max(1, known.size // SAMPLE_PX)])

    def check_ground(self, above: FloatImage) -> None:
        """Refuse a terrain model if nearly all ground is far below or above 0; warn if some of it is."""
        assert self.terrain is not None, "it has heights"
        pair = f"dsm {self.surface.source} less dtm {self.terrain.source}"
        check_above_ground(above, pair, UNLIKE)
        warn_of_shifted_ground(above, pair)

    def check_known(self, known: Mask) -> None:
        """Refuse channels that have no value anywhere, after the fact."""
        for channel, has_values in zip(self.channels, known, strict=True):
            if not has_values and channel == "ndvi" and self.colours is not None:
                raise InputError(f"image: {self.colours.source} shows nothing where the dsm lies. {_SAME_SITE}")
            if not has_values and channel == "ndsm" and self.terrain is not None:
                raise InputError(
                    f"dtm: {self.terrain.source} has no height where the dsm ({self.surface.source}) has one. {_SAME_SITE}"
                )
            if not has_values:
                raise InputError(
                    f"dsm: {self.surface.source} has no height from {PlausibleHeight.lowest_m:g} to {PlausibleHeight.highest_m:g} m anywhere. Check its "
                    "nodata value, and that heights are in metres."
                )

    def _above(self, upper: FloatImage, lower: FloatImage | None) -> FloatImage:
        if not np.isfinite(upper).any():
            return np.full(upper.shape, np.nan, np.float32)
        return ndsm(upper, lower, gsd_m=self.side_m, max_building_m=self.max_building_m)

    def _ndvi(self, window: Window) -> FloatImage:
        assert self.colours is not None, "checked before"
        data, valid = self.colours.read(window)
        near, red = data.astype(np.float32)
        return np.where(valid, normalised_difference(near, red), np.float32(np.nan))


def _write(composite: _Composite, out: Path, block_px: int, progress: Callable[[float], None] | None) -> None:
    grid, channels = composite.surface.grid, composite.channels
    if grid.crs is None:
        _log.warning(
            "dsm: %s has no CRS; a pixel counts as one metre, unless --gsd says its size.", composite.surface.source
        )
    wrong: Counter[str] = Counter()
    known = np.zeros(len(channels), bool)
    above = list[FloatImage]()
    windows = composite.surface.blocks(block_px)
    with CogWriter(
        out, grid, count=len(channels), dtype="float32", nodata=math.nan, band_names=channels, tags=composite.tags
    ) as writer:
        for done, (window, block) in enumerate(zip(windows, in_order(composite.block, windows), strict=True), start=1):
            writer.write(window, block.values)
            wrong += block.impossible
            above.append(block.above)
            known |= np.isfinite(block.values).any(axis=(1, 2))
            if progress is not None:
                progress(done / len(windows))
        for name, count in wrong.items():
            warn_of_impossible(count, name)
        composite.check_known(known)
        if (heights := np.concatenate(above)).size:
            composite.check_ground(heights)


UNLIKE = (
    "Surface and terrain model seem to be in two units, or to refer to two vertical datums. State a unit: gdal_edit.py -units ft FILE; bring "
    "them to one datum with gdalwarp."
)
_SAME_SITE = "Give one of the same site; `deepnets4eo check` shows where a raster lies."


def _check_channels(channels: Sequence[str], *, image: LayerLike | None, dtm: LayerLike | None) -> None:
    known = get_args(Channel)
    if not channels or len(set(channels)) < len(channels) or not set(channels) <= set(known):
        raise InputError(f"channels are ({', '.join(channels)}), expected some of {', '.join(known)}, each once.")
    if "ndvi" in channels and image is None:
        raise InputError("the channel ndvi needs an image with near infrared and red. Give one, or leave ndvi out.")
    for name, layer, channel in (("image", image, "ndvi"), ("dtm", dtm, "ndsm")):
        if layer is not None and channel not in channels:
            raise InputError(
                f"{name} is given, but no channel needs it. Add {channel} to the channels, or leave it out."
            )


def _fit_for_warp(layer: Layer, grid: Grid) -> Layer:
    """Return the terrain model unchanged; refuse to warp impossible heights, which would mix into others."""
    if same_grid(layer.grid, grid) or (layer.grid.crs is None) != (grid.crs is None):
        return layer
    part = window_under(layer.grid, grid)
    for block in blocks((part.height, part.width), READ_PX):
        _, wrong = _heights(layer, block.move(part.row, part.col))
        if wrong.any():
            raise InputError(
                f"dtm: {layer.source} has heights outside {PlausibleHeight.lowest_m:g} to {PlausibleHeight.highest_m:g} m and lies on another grid than "
                "the dsm; a warp would mix them into their surroundings. Tag them as no data, e.g. with gdal_edit.py "
                "-a_nodata -9999."
            )
    return layer


def _infrared_and_red(image: Layer, names: Sequence[str] | None) -> Layer:
    names_shown = layer_names("image", image.band_names, names)
    indices = role_indices(names_shown)
    missing = [role for role in ("nir", "red") if role not in indices]
    if missing:
        raise InputError(
            f"image: no band of {image.source} shows {' or '.join(missing)}; there are {', '.join(names_shown)}. State what its "
            "bands show, e.g. --bands nir,red,green, or leave the channel ndvi out. Where near infrared and red are files "
            "of their own, stack them into one image, e.g. with gdal_merge.py -separate."
        )
    return image.subset([image.bands[indices[role]] for role in ("nir", "red")])


def _heights(layer: Layer, window: Window) -> tuple[FloatImage, Mask]:
    """Heights (h, w) with NaN for no data and for impossible ones, and where these are."""
    data, valid = layer.read(window)
    heights = np.where(valid, data[0], np.nan).astype(np.float32)
    wrong = impossible(heights)
    heights[wrong] = np.nan
    return heights, wrong
