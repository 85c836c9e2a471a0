"""A scene as a run takes it, with values and pixels as it learnt them; and its results on the scene's own grid.

Results of other pixels are the nearest ones, and void where the scene is not valid.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import ByteImage
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.grid import Grid, Window, mean_gsd_m
from deepnets4eo.prediction.outputs import nothing
from deepnets4eo.rasters import Layer, LayerLike, Scene, band_key, order_by_colours, spectral_bands
from deepnets4eo.read_as import assess_scene
from deepnets4eo.segmenters import (
    AnySize,
    LayerInput,
    Run,
    Segmenter,
    Stretch,
    show_scene,
    takes_any_size,
    working_grid,
)
from deepnets4eo.segmenters.stretch import needed_stretches

log = logging.getLogger(__name__)

CHUNK_ROWS = 256  # of the scene whose validity is read together


def open_scene(scene: Scene | LayerLike | Mapping[str, LayerLike], segmenter: Segmenter) -> Scene:
    """Open a scene for a segmenter.

    Errors: InputError (rasters that cannot be read, or do not share a grid).

    Parameters
    ----------
    scene : a Scene, layer → raster, or one raster: the first layer that the segmenter reads
    segmenter : names that layer

    Returns
    -------
    Not yet checked against the segmenter's inputs. Each layer has the bands (by name), nodata value and kind of values
    (physical or as stored) of training.
    """
    inputs = segmenter.inputs
    if not isinstance(scene, Scene):
        layers = scene if isinstance(scene, Mapping) else {inputs.names[0]: scene}
        scene = Scene.open(None, **layers)
    stated = {name: layer.nodata for name, layer in inputs.layers.items() if layer.nodata is not None}

    def choose(name: str, layer: Layer) -> Layer:
        chosen = _choose_bands(layer, inputs.layers[name])
        return chosen.with_nodata(stated[name]) if name in stated else chosen

    return inputs.as_trained(assess_scene(scene, names=inputs.layers, user_nodata=stated, choose=choose))


def named_layers(arguments: Sequence[str], read: Sequence[str]) -> dict[str, str]:
    """`image=a.tif dsm=b.tif` as a mapping; one without a name is the first layer that runs read."""
    layers: dict[str, str] = {}
    for argument in arguments:
        match = re.fullmatch(r"([a-z_][a-z0-9_]*)=(.+)", argument)
        name, path = (match[1], match[2]) if match else (read[0], argument)
        if name in layers:
            raise InputError(
                f"layer {name!r} was given twice: {layers[name]} and {path}. Give each layer once, as layer=FILE."
            )
        layers[name] = path
    if unread := sorted(set(layers) - set(read)):
        log.warning("No run reads the layers %s; they are ignored. The runs read %s.", unread, list(read))
    return layers


def _choose_bands(layer: Layer, expected: LayerInput) -> Layer:
    """Return the bands of training in its order, by names or else by colours; the layer if neither decides."""
    names = expected.bands
    known = dict(zip(map(band_key, layer.band_names), layer.bands, strict=True))
    nameless = list(names) == [f"band_{number}" for number in range(1, len(names) + 1)]
    if layer.band_names == list(names) and not nameless:
        return layer
    keys = [band_key(name) for name in names]
    if not nameless and len(known) == layer.count and known.keys() >= set(keys):
        chosen = [known[key] for key in keys]
        if chosen != list(layer.bands):
            log.info("of the %d bands of %s those that training had are read, in its order", layer.count, layer.source)
        return layer.subset(chosen)
    if (of_wavelengths := _by_wavelength(layer, names)) is not None:
        return layer.subset(of_wavelengths).with_names(names)
    return _order_by_colours(layer, expected)


def _by_wavelength(layer: Layer, names: Sequence[str]) -> list[int] | None:
    """Return the bands whose names mean the same bands of Sentinel-2 as these names, such as B2 for B02; None unless each is there once."""
    try:
        theirs, wanted = spectral_bands(layer.band_names), spectral_bands(names)
    except InputError:  # numbers that several satellites have
        return None
    there = [name for name, _ in theirs]
    if layer.band_names == list(names) or not all(nm is not None and there.count(name) == 1 for name, nm in wanted):
        return None
    return [layer.bands[there.index(name)] for name, _ in wanted]


def _order_by_colours(layer: Layer, expected: LayerInput) -> Layer:
    """Return the bands in the order of training if both state red, green and blue, one of them not by names."""
    order = order_by_colours(expected.colour_positions, len(expected.bands), layer.colour_positions, layer.count)
    if order is None or order == list(range(layer.count)):
        return layer
    chosen = layer.subset([layer.bands[index] for index in order])
    log.warning(
        "%s states its colours in another order than the run learnt (%s): its bands are read in the order %s. If it states wrong colours, "
        "correct them: rio edit-info --colorinterp …", layer.source, ", ".join(expected.colours or expected.bands),
        ", ".join(str(band) for band in chosen.bands),
    )  # fmt: skip
    return chosen.with_names(expected.bands)


@dataclass(frozen=True)
class PreparedScene:
    """A scene on whose grid results are written, and what is labelled of it, maybe with other pixels and `stretches` by layer."""

    scene: Scene
    labelled: Scene
    stretches: dict[str, Stretch]

    def __str__(self) -> str:
        """Describe in words how the scene was changed; '' if it was not."""
        texts = [f"layer {name!r} is {stretch}" for name, stretch in self.stretches.items()]
        if self.labelled.grid != self.scene.grid:
            height, width = self.labelled.shape
            texts.insert(0, f"labelled at {height} x {width} px of {self.labelled.gsd_m:.3g} m")
        return "; ".join(texts)

    def on_scene_grid(self, rows: Iterable[tuple[Window, ByteImage]]) -> Iterator[tuple[Window, ByteImage]]:
        """Finished rows of what was labelled, as rows of the scene. Memory: 256 rows of it."""
        if self.labelled.grid == self.scene.grid:
            yield from rows
            return
        row_of, col_of = _nearest(self.scene.grid, self.labelled.grid)
        names = [name for name in self.labelled.layers if name in self.scene.layers]
        for window, part in rows:
            top, bottom = np.searchsorted(row_of, (window.row, window.row + window.height)).tolist()
            left, right = np.searchsorted(col_of, (window.col, window.col + window.width)).tolist()
            cols = col_of[left:right] - window.col
            for first in range(top, bottom if left < right else top, CHUNK_ROWS):
                target = Window(first, left, min(CHUNK_ROWS, bottom - first), right - left)
                valid = self.scene.read_stored(target, names)["valid"]
                pixels = part[:, row_of[target.slices[0]] - window.row][:, :, cols]
                yield target, np.where(valid, pixels, nothing(pixels.dtype))


def prepare_scene(scene: Scene, labeller: Run | Segmenter) -> PreparedScene:
    """Prepare a scene and check that it fits; RunError if it does not. Reads at most 256 small windows."""
    inputs = labeller.inputs
    stretches = needed_stretches(inputs, scene)
    labelled = scene
    if isinstance(labeller, Run) and takes_any_size(labeller.recipe) and inputs.gsd_m and scene.grid.crs is not None:
        _check_size(scene.grid)
        grid = working_grid(scene.grid, inputs.gsd_m)
        if grid != scene.grid:
            layers = {name: layer for name, layer in scene.layers.items() if name in inputs.layers}
            labelled = Scene(layers or scene.layers, grid)
    labelled = show_scene(labelled, stretches)
    inputs.check(labelled)
    return PreparedScene(scene, labelled, stretches)


def _check_size(grid: Grid) -> None:
    """Errors: RunError for pixels far from those that such runs learnt."""
    size_m = mean_gsd_m(grid)
    if not AnySize.finest_m <= size_m <= AnySize.coarsest_m:
        nearest_m = AnySize.finest_m if size_m < AnySize.finest_m else AnySize.coarsest_m
        raise RunError(
            f"the scene does not fit the run: its pixels measure {size_m:.3g} m, the run takes {AnySize.finest_m:g} to {AnySize.coarsest_m:g} m; "
            f"resample the scene: gdalwarp -tr {nearest_m:g} {nearest_m:g} IN OUT, in a CRS in metres."
        )


def _nearest(grid: Grid, other: Grid) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row and column of another grid, over the same ground, that contain the middle of each row and column."""
    to_other = ~other.affine * grid.affine
    steps = to_other.e, to_other.a
    rows, cols = (
        np.clip(np.floor((np.arange(side) + 0.5) * step), 0, most - 1).astype(np.intp)
        for side, step, most in zip(grid.shape, steps, other.shape, strict=True)
    )
    return rows, cols
