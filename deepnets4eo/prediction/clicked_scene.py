"""A scene with a person's clicks, from a file of points: discs as a layer, and weights that adapted to them.

Refuses points outside the scene, classes that the run does not have, and runs without a network.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rasterio

from deepnets4eo.arrays import Indices
from deepnets4eo.cards import Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import sha256
from deepnets4eo.formats import POINTS, choose_layers, read_ogr, split_layer, vector_errors, vector_file
from deepnets4eo.grid import Grid, apply_affine, blocks
from deepnets4eo.prediction.click_session import USUAL, Adaptation, adapt, adapted_weights
from deepnets4eo.prediction.preparation import prepare_scene
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.segmenters import InputSpec, NetworkSegmenter, Run
from deepnets4eo.segmenters.clicks import Clicks

log = logging.getLogger(__name__)

CLASS = "class"
BLOCK_PX = 256


def read_clicks(path: str | Path, grid: Grid, legend: Legend) -> Clicks:
    """Read points whose column `class` has names or values of the legend, in order; rows without a class are skipped.

    Errors: InputError (the file does not exist, has no such column, or a point has no such class or lies outside the grid)."""
    name, layer = split_layer(path)
    if not Path(name).exists():
        raise InputError(
            f"clicks {name} do not exist. Check the path; expected points, e.g. a GeoPackage drawn in QGIS."
        )
    with vector_file(name) as inner, vector_errors(f"clicks {name}", "a vector format such as GeoPackage"):
        (chosen, *_) = choose_layers(inner, f"clicks {name}", layer, POINTS)
        table = read_ogr(inner, name, layer=chosen)
    if CLASS not in table or "geometry" not in table:
        raise InputError(
            f"clicks {name} have the columns {list(table.columns)}; expected points with the column {CLASS!r}."
        )
    table = table.explode(index_parts=False)  # QGIS draws points into layers of MultiPoint as well
    if kinds := {*table.geometry.geom_type.fillna("nothing")} - {"Point"}:
        raise InputError(f"clicks {name} hold {', '.join(sorted(kinds))}; expected points. Give the layer of points.")
    lacking = int(table[CLASS].isna().sum())
    if lacking:
        log.warning(
            "%d of %d clicks in %s have no class and are left out. Give them one in the column %s.",
            lacking,
            len(table),
            name,
            CLASS,
        )
    table = table[table[CLASS].notna()]
    if grid.crs is not None and table.crs is not None:
        table = table.to_crs(str(grid.crs))
    cols, rows = np.floor(apply_affine(~grid.affine, np.column_stack([table.geometry.x, table.geometry.y]))).T.astype(
        int
    )
    outside = (rows < 0) | (rows >= grid.shape[0]) | (cols < 0) | (cols >= grid.shape[1])
    if outside.any():
        raise InputError(
            f"{int(outside.sum())} of {len(table)} clicks in {name} lie outside the scene. Move or delete them."
        )
    return Clicks(rows, cols, _indices(table[CLASS], legend, name))


def _indices(classes: Iterable[object], legend: Legend, name: str) -> Indices:
    """Return (N,) numbers of classes that are given by name or value."""
    known = {str(value): index for index, value in enumerate(legend.values)}
    known |= {class_name.strip(): index for index, class_name in enumerate(legend.names)}
    texts = [
        str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip() for value in classes
    ]
    for text in texts:
        if text not in known:
            raise InputError(
                f"a click in {name} has the class {text!r}; expected one of {', '.join(legend.names)}. Correct it."
            )
    return np.array([known[text] for text in texts], np.intp)


@contextmanager
def show_clicks(
    run: Run, scene: Scene, points: str | Path, adaptation: Adaptation = USUAL
) -> Iterator[tuple[Run, Scene]]:
    """Provide a run and a scene that use a person's clicks while the context lasts; the run's folder is not changed.

    Errors: InputError: see `read_clicks`; the run has no network.

    Parameters
    ----------
    run : With a network. If it was trained with clicks, the scene gets a layer of them.
    scene : As `open_scene` returns it.
    points : See `read_clicks`.
    adaptation : How the weights follow the clicks.

    Yields
    ------
    (Run, Scene)
        For `predict`.
    """
    network = network_of(run)
    labelled = prepare_scene(scene, run).labelled
    clicks = read_clicks(points, labelled.grid, run.legend)
    segmenter = _adapted(network, labelled, clicks, adaptation) if adaptation.steps and len(clicks) else network
    taught = replace(run, segmenter=segmenter, card=run.card | {"clicks_sha256": sha256(split_layer(points)[0])})
    with TemporaryDirectory(prefix="clicks-") as folder:
        if InputSpec.click_layer in run.inputs.layers:
            layer = _write_layer(Path(folder) / "clicks.tif", labelled.grid, clicks, run.legend)
            scene = Scene({**scene.layers, InputSpec.click_layer: Layer.open(layer)}, scene.grid)
        yield taught, scene


def network_of(run: Run) -> NetworkSegmenter:
    """Return the network that clicks correct. Errors: InputError for a run of another kind."""
    if not isinstance(run.segmenter, NetworkSegmenter):
        raise InputError(
            f"after each click the last layers of a network are trained, and {run.folder} (kind: {run.segmenter.kind}) has none that can be. Give a run "
            "of one network of PyTorch, or correct the labels in QGIS."
        )
    return run.segmenter


def _adapted(segmenter: NetworkSegmenter, scene: Scene, clicks: Clicks, how: Adaptation) -> NetworkSegmenter:
    """Return a copy whose weights took steps on windows around all clicks, a few windows at a time."""
    adapted = copy.copy(segmenter)
    adapted.module = copy.deepcopy(segmenter.module)
    inputs, weights = segmenter.inputs, adapted_weights(adapted.module, segmenter.legend.num_classes)
    for first in range(0, len(clicks), how.windows):
        windows = [how.window(row, col, scene.shape) for row, col in clicks.pixels[first : first + how.windows]]
        batch = np.stack([inputs.prepare(scene.read(window, inputs.present(scene))) for window in windows])
        mask = np.stack([clicks.mask(window) for window in windows])
        as_many = replace(how, steps=how.steps * len(windows))  # as if they had been made one by one
        adapt(adapted, weights, batch, mask, segmenter.predict_proba(batch), as_many)
    return adapted


def _write_layer(path: Path, grid: Grid, clicks: Clicks, legend: Legend) -> Path:
    """Write a sparse raster of the discs: blocks without a click take no space."""
    height, width = grid.shape
    profile = {
        "driver": "GTiff", "height": height, "width": width, "count": legend.num_classes, "dtype": "uint8", "crs": grid.crs,
        "transform": grid.affine, "tiled": True, "blockxsize": BLOCK_PX, "blockysize": BLOCK_PX, "compress": "deflate", "sparse_ok": True,
        "bigtiff": "if_safer",
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as raster:
        raster.descriptions = tuple(legend.names)
        for block in blocks((height, width), BLOCK_PX):
            if len(clicks.near(block)):
                where = rasterio.windows.Window(block.col, block.row, block.width, block.height)
                raster.write(clicks.channels(legend.num_classes, block), window=where)
    return path
