"""Ground that the relief hides from a radar: steep ground, layover and shadow are left out of a map of water, and counted.

Ground without a height counts as visible, since water often has none.

Takes heights of the ground, the angle of incidence, and the radar's look direction from true north, on grids of any orientation.
Refuses a view without heights.

The wave is modelled as plane, which is valid over a scene. Ground is in shadow where other ground hides it from the
sensor.

It is in layover where nearer or more distant ground has the same slant range.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deepnets4eo.arrays import ByteImage, FloatImage, Floats
from deepnets4eo.errors import InputError
from deepnets4eo.grid import gsd_m, pixel_steps_m
from deepnets4eo.jobs import KeptFiles, identity_hash
from deepnets4eo.outputs import Finding, Phrase
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.terrain import impossible, slope_deg

if TYPE_CHECKING:
    from deepnets4eo.floods.options import FloodOptions

CLEAR, STEEP, LAYOVER, SHADOW = 0, 1, 2, 3  # why ground is not seen
HIDDEN = "relief-{}.tif"  # in the scratch folder; of these heights and this view
REACH_PX = 256  # how far a mountain throws its shadow at most


def check_radar_view(options: FloodOptions) -> None:
    """Refuse half of a view, and one without heights. Errors: InputError."""
    view = (options.incidence_deg, options.look_deg)
    if view == (None, None):
        return
    if None in view or options.dem is None:
        raise InputError(
            f"layover and shadow need the heights of the ground, the incidence and the direction of the radar; given are dem={options.dem}, "
            f"incidence_deg={options.incidence_deg}, look_deg={options.look_deg}. Give all three with --set, or none of the last two."
        )


def hide_relief(image: Layer, heights: Layer, options: FloodOptions, scratch: Path) -> tuple[Layer, Finding]:
    """Return a radar image that is invalid where the relief hides the ground, and the finding that counts the hidden ground.

    heights : metres, on the grid of the image; scratch : folder of the mask, which is kept for a resumed job.
    """
    from deepnets4eo.change import hide_clouds

    view = options.steepest_deg, options.incidence_deg, options.look_deg
    path, counts = scratch / HIDDEN.format(identity_hash(heights, view)), np.zeros(SHADOW + 1, np.int64)
    kept = KeptFiles(scratch)
    if not kept.has(path.name):
        _write_mask(path, heights, options)
        kept.note(path.name)
    hidden = Layer.open(path)
    for window in hidden.blocks():
        counts += np.bincount(hidden.read(window)[0][0].ravel().astype(np.intp), minlength=len(counts))
    return hide_clouds(image, hidden, image.grid), _finding(counts, options)


def _write_mask(path: Path, heights: Layer, options: FloodOptions) -> None:
    grid, sizes = heights.grid, gsd_m(heights.grid)
    path.parent.mkdir(parents=True, exist_ok=True)
    margin = 1 if options.look_deg is None else REACH_PX
    with CogWriter(path, grid) as writer:
        for window in writer.windows:
            around = window.grow(margin).clip(heights.shape)
            data, valid = heights.read(around)
            known = np.where(valid & ~impossible(data[0]), data[0], np.nan).astype(np.float32)
            slope = slope_deg(known, sizes)
            classes = np.where(slope > options.steepest_deg, STEEP, CLEAR).astype(np.uint8)
            if options.incidence_deg is not None and options.look_deg is not None:
                middle = np.array([(window.col + window.width / 2, window.row + window.height / 2)])
                steps_m = pixel_steps_m(grid, middle)[0]
                seen = layover_and_shadow(known, steps_m, options.incidence_deg, options.look_deg)
                classes = np.where((seen > CLEAR) & np.isfinite(known), seen, classes)
            writer.write(window, classes[window.within(around).slices])


def layover_and_shadow(heights: FloatImage, steps_m: Floats, incidence_deg: float, look_deg: float) -> ByteImage:
    """Find ground that a plane wave does not reach, or reaches at the same time as other ground.

    heights : (H, W) metres, NaN if unknown
    steps_m : (2, 2) metres to the east and north (rows) of one pixel to the right and down (columns), see `pixel_steps_m`
    incidence_deg : from the vertical
    look_deg : the radar's look direction, clockwise from true north

    Returns (H, W): 0 clear, 2 layover, 3 shadow, which hides more.
    """
    look, incidence = math.radians(look_deg), math.radians(incidence_deg)
    steps = np.linalg.solve(steps_m, [math.sin(look), math.cos(look)])[::-1]  # rows and columns per metre
    step_m = 1 / np.abs(steps).max()  # so that no pixel on the way is left out
    relief = float(np.nanmax(heights) - np.nanmin(heights)) if np.isfinite(heights).any() else 0.0
    slopes = {SHADOW: 1 / math.tan(incidence), LAYOVER: math.tan(incidence)}  # metres up a metre on the way
    classes = np.zeros(heights.shape, np.uint8)
    for kind, ways in ((LAYOVER, (-1, 1)), (SHADOW, (-1,))):
        reach = min(REACH_PX, math.ceil(relief / (slopes[kind] * step_m)))
        for number in range(1, reach + 1):
            for way in ways:
                offset = np.rint(way * number * step_m * steps).astype(int)
                here, there = _overlapping(heights.shape, offset)
                higher = heights[there] - heights[here]
                # ground nearer to the radar lays over what is lower than it, and is laid over by farther ground that is higher
                above = -higher if kind == LAYOVER and way < 0 else higher
                classes[here][above > slopes[kind] * number * step_m] = kind
    return classes


def _overlapping(shape: tuple[int, ...], offset: np.ndarray) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the pixels that have one at an offset (rows, columns), and of those."""
    here, there = [], []
    for side, move in zip(shape, (int(shift) for shift in offset), strict=True):
        here.append(slice(min(max(0, -move), side), max(min(side, side - move), 0)))
        there.append(slice(min(max(0, move), side), max(min(side, side + move), 0)))
    return (here[0], here[1]), (there[0], there[1])


def _finding(counts: np.ndarray, options: FloodOptions) -> Finding:
    """Return a finding with the share of the ground that the relief hides, by reason."""
    shares = counts / max(counts.sum(), 1)
    parts = [Phrase("ground_too_steep", {"share": shares[STEEP], "steepest_deg": options.steepest_deg})]
    if options.look_deg is not None:
        parts += [
            Phrase("ground_in_layover", {"share": shares[LAYOVER]}),
            Phrase("ground_in_shadow", {"share": shares[SHADOW]}),
        ]
    return Finding("hidden_by_relief", "note", {"share": 1 - float(shares[CLEAR]), "parts": parts})
