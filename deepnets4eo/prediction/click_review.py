"""A label map of a scene of any size that a person corrects by clicks, tile by tile, in a separate folder.

After every stroke `clicks.gpkg` and the tile's labels are renamed into place; `finish` writes `corrected.tif`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from deepnets4eo.arrays import ByteImage, Floats, Mask
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.device import choose
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite, read_json, sha256, write_json
from deepnets4eo.grid import Grid, Window, apply_affine, crop
from deepnets4eo.outputs import check_not_inputs
from deepnets4eo.polygons import write_vector
from deepnets4eo.prediction.click_session import ClickSession, next_click
from deepnets4eo.prediction.clicked_scene import CLASS, network_of, read_clicks
from deepnets4eo.prediction.job import predict
from deepnets4eo.prediction.options import Measure, PredictOptions
from deepnets4eo.prediction.preparation import prepare_scene
from deepnets4eo.rasters import CogWriter, Layer, Scene, label_bytes
from deepnets4eo.segmenters import Run, load_run
from deepnets4eo.segmenters.checksums import hash_of
from deepnets4eo.segmenters.clicks import Clicks

TILE_PX = 512  # largest side
FULL = "float32"  # precision in which weights follow clicks
ABOUT, LABELS, ENTROPY, CLICKS, CORRECTED, TILES = (
    "review.json", "labels.tif", "entropy.tif", "clicks.gpkg", "corrected.tif", "tiles",
)  # fmt: skip


class ClickReview:
    """The corrections of one label map by a network, in the folder `out`. Memory: the network and a tile of 512 pixels.

    `measure` chooses the next click; `progress` is called with the finished share of the first labels, which are computed in `precision`; what
    follows clicks is computed in float32.
    """

    def __init__(
        self,
        run: Run,
        scene: Scene,
        out: Path,
        measure: Measure = "entropy",
        progress: Callable[[float], None] | None = None,
        *,
        device: str = "auto",
        precision: str = FULL,
    ) -> None:
        names = (LABELS, ENTROPY, CLICKS, CORRECTED, TILES)
        check_not_inputs([out, *(out / name for name in names)], [list(scene.layers.values()), run.folder])
        self.segmenter, self.legend, self.out, self.measure = network_of(run), run.legend, out, measure
        self.scene = prepare_scene(scene, run).labelled
        self.grid = self.scene.grid
        self._check_folder(run, scene)
        if not ((out / LABELS).exists() and (out / ENTROPY).exists()):
            options = PredictOptions(entropy=out / ENTROPY, device=device, precision=precision, overwrite=True)
            first = run if precision == FULL else load_run(run.folder)  # the session goes on with all digits
            predict(first, self.scene, out / LABELS, options, progress=progress)
        self.segmenter.to(choose(device, FULL))
        self._map = Layer.open(out / LABELS, labels=True)
        self.clicks = read_clicks(out / CLICKS, self.grid, self.legend) if (out / CLICKS).exists() else Clicks.none()
        self.tiles = even_tiles(self.scene.shape)
        self._doubt = _mean_of(Layer.open(out / ENTROPY), self.tiles)
        self.session: ClickSession = None  # type: ignore[assignment]
        self.open(self.next_tile() or 0)

    def _check_folder(self, run: Run, scene: Scene) -> None:
        """Write the run and scene that the folder belongs to, or compare them with the stored record."""
        files = {name: [Path(path) for path in layer.paths] for name, layer in scene.layers.items()}
        hashes = {name: [sha256(path) for path in paths if path.is_file()] for name, paths in files.items()}
        about = {
            "run": hash_of(run.card),
            "scene": {"grid": [*self.grid.shape, *self.grid.affine[:6], str(self.grid.crs)], "sha256": hashes},
        }
        if (self.out / ABOUT).exists():
            known = read_json(self.out / ABOUT)
            for part in about:
                if not isinstance(known, dict) or known.get(part) != about[part]:
                    raise InputError(
                        f"{self.out} has corrections of labels of another {part}. Give the {part} that it began with, or another --out."
                    )
            return
        check_overwrite(self.out, overwrite=False)
        write_json(self.out / ABOUT, about)

    @property
    def window(self) -> Window:
        """The tile that is worked on."""
        return self.tiles[self.number]

    @property
    def labels(self) -> ByteImage:
        """Return (h, w) uint8 classes of the tile, void 255: the map's classes, except for pixels that the network relabelled."""
        now = self.session.labels
        labels = np.where((now != self._reference) & (self._base != VOID), now, self._base)
        clicks = self.session.clicks
        labels[clicks.rows, clicks.cols] = clicks.classes
        return labels

    def open(self, number: int) -> None:
        """Go to a tile. Weights that follow clicks continue from their present state."""
        before, self.number = self.session, number
        follows = before is not None and before.follows
        sample = self.scene.read(self.window, self.segmenter.inputs.present(self.scene))
        here = self.clicks.inside(self.window)
        self.session = ClickSession(
            self.segmenter,
            self.segmenter.inputs.prepare(sample),
            clicks=self.clicks.where(here).shift(-self.window.row, -self.window.col),
            weights=before.weights if before is not None and follows else None,
        )
        self.session.follows = follows or (before is None and not self.session.takes_clicks)
        self._others = self.clicks.where(~here)
        saved = self._tile_file(number)
        stored = Layer.open(saved, labels=True).read() if saved.exists() else self._map.read(self.window)
        self._base = self.legend.to_index()[label_bytes(stored[0][0], stored[1], str(saved))]
        self._reference = self.session.labels if saved.exists() else self.session.first_labels

    def stroke(self, act: Callable[[ClickSession], object]) -> int:
        """Change the session by a click, its undoing, or whether weights follow, and save. returns : pixels whose label is another."""
        before = self.labels
        act(self.session)
        self.clicks = self._others.with_others(self.session.clicks.shift(self.window.row, self.window.col))
        write_clicks(self.out / CLICKS, self.clicks, self.grid, self.legend)
        labels = self.labels
        with CogWriter(
            self._tile_file(self.number), crop(self.grid, self.window), nodata=VOID, legend=self.legend
        ) as tile:
            tile.write(Window(0, 0, *labels.shape), self.legend.from_index()[labels])
        return int((labels != before).sum())

    def next_click(self) -> tuple[int, int]:
        """Row and column of the tile where a click helps most."""
        return next_click(self.session, self.measure, self._base != VOID)

    def next_tile(self) -> int | None:
        """Return the tile without a click about which the run is most uncertain; None if all tiles have a click."""
        doubt = np.where(self.clicked_tiles(), -np.inf, self._doubt)
        return int(doubt.argmax()) if np.isfinite(doubt).any() else None

    def clicked_tiles(self) -> Mask:
        """Return (n,) whether a tile has clicks."""
        return np.array([self.clicks.inside(tile).any() for tile in self.tiles])

    def finish(self) -> Path:
        """Write the labels of the whole scene, corrected. Memory: a tile."""
        with CogWriter(self.out / CORRECTED, self.grid, nodata=VOID, legend=self.legend) as writer:
            for number, window in enumerate(self.tiles):
                saved = self._tile_file(number)
                data, _ = Layer.open(saved, labels=True).read() if saved.exists() else self._map.read(window)
                writer.write(window, data)
        return self.out / CORRECTED

    def _tile_file(self, number: int) -> Path:
        window = self.tiles[number]
        return self.out / TILES / f"{window.row:06d}-{window.col:06d}.tif"


def even_tiles(shape: tuple[int, int]) -> list[Window]:
    """Tiles of TILE_PX at most, row by row, and all of about one size: a narrow last one would show a network too little."""
    edges = [np.linspace(0, side, -(-side // TILE_PX) + 1).round().astype(int).tolist() for side in shape]
    rows, cols = (list(zip(cuts[:-1], cuts[1:], strict=True)) for cuts in edges)
    return [Window(top, left, below - top, right - left) for top, below in rows for left, right in cols]


def write_clicks(path: Path, clicks: Clicks, grid: Grid, legend: Legend) -> None:
    """Write clicks as points that `read_clicks` reads, and QGIS. Errors: OutputError."""
    xy = apply_affine(grid.affine, np.column_stack([clicks.cols + 0.5, clicks.rows + 0.5]))
    frame = gpd.GeoDataFrame(
        {CLASS: [legend.names[index] for index in clicks.classes]},
        geometry=shapely.points(xy),
        crs=None if grid.crs is None else str(grid.crs),
    )
    write_vector(frame, path)


def _mean_of(layer: Layer, tiles: Sequence[Window]) -> Floats:
    """Return (n,) mean of a raster over each tile, 0 if a tile has no data."""
    means = []
    for tile in tiles:
        data, valid = layer.read(tile)
        means.append(float(data[0][valid].mean()) if valid.any() else 0.0)
    return np.array(means)
