"""Labelled pairs: an image before, one after, building outlines and their grades; and how their images are scaled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.damage.images.dates import in_colour
from deepnets4eo.damage.images.working_grid import WorkingGrid, on_post
from deepnets4eo.damage.table.vocabulary import is_graded
from deepnets4eo.errors import InputError, LabelError
from deepnets4eo.footprints import FootprintAlignment, order_by_place
from deepnets4eo.grid import Grid, Window, transform_shapes
from deepnets4eo.rasters import BandMoments, Layer, Scene
from deepnets4eo.registration import Registration
from deepnets4eo.segmenters import InputSpec, LayerInput
from deepnets4eo.tiling import spread_indices
from deepnets4eo.zonal import Outlines

PRE, POST = "pre", "post"
MAX_OPEN = 48  # pairs, each with two files a reading thread
LEGEND = "xbd"
COLOURS = range(1, 4)  # bands of pairs in memory that are scored
WINDOWS, WINDOW_PX = 16, 256
KEPT_PIXELS = 1000  # a window, for the percentiles
MAX_PAIRS = 64  # evenly spread, the statistics of all training are made of


@dataclass(frozen=True)
class LabelledPair:
    """One site at two dates with graded buildings, by `LabelledPair.of`.

    Parameters
    ----------
    name : unique among the pairs
    event : the disaster, for splits by event
    opener : opens the layers pre and post on one grid
    grid : the grid of post
    outlines : N buildings in the pixels of post
    grades : (N,) uint8, indices in the legend xbd, 255 for buildings that are not learnt from
    gsd_m : ground size of a pixel in metres
    ignored : how many buildings have each class that the legend lacks
    sources : layer → file
    synthetic : whether the images are simulated
    truth : (N,) uint8, grades of the buildings themselves, whatever is visible
    groups : what the pair is scored together with, such as its hazard
    """

    name: str
    event: str
    opener: Callable[[], Scene]
    grid: Grid
    outlines: Outlines
    grades: NDArray[np.uint8]
    gsd_m: float | None
    ignored: dict[str, int]
    sources: dict[str, str]
    synthetic: bool
    truth: NDArray[np.uint8] | None = None
    groups: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        opener: Callable[[], Scene],
        outlines: NDArray[Any],
        grades: NDArray[np.uint8],
        *,
        event: str | None = None,
        gsd_m: float | None = None,
        ignored: dict[str, int] | None = None,
    ) -> LabelledPair:
        """Make a pair from outlines in pixels; opens its images once."""
        scene = opener()
        return cls(
            name=name, event=name if event is None else event, opener=opener, grid=scene.grid,
            outlines=in_pixels(outlines, scene.shape), grades=grades, gsd_m=gsd_m, ignored=ignored or {},
            sources={layer: opened.source for layer, opened in scene.layers.items()}, synthetic=scene.synthetic,
        )  # fmt: skip

    @property
    def scene(self) -> Scene:
        """The two images; only those used last stay open."""
        return _open_cached(self.opener)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of both images."""
        height, width = self.grid.shape
        return height, width

    @property
    def boxes(self) -> NDArray[np.int64]:
        """Return (N, 4) first row, first column, row after the last, column after the last."""
        return self.outlines.box

    @property
    def centres(self) -> NDArray[np.int64]:
        """Return (N, 2) row and column of the middle of each building, inside the image."""
        return box_centres(self.outlines, self.shape)


@lru_cache(maxsize=MAX_OPEN)
def _open_cached(opener: Callable[[], Scene]) -> Scene:
    return opener()


def make_scene(pre: Layer, post: Layer) -> Scene:
    """Make a scene of both dates in colour on the grid of post, with the same bands; a single band is repeated."""
    pre, post = in_colour(pre), in_colour(post)
    counts = pre.count, post.count
    bands = max(counts) if 1 in counts else min(counts)
    return Scene({PRE: with_bands(pre, bands).with_grid(post.grid), POST: with_bands(post, bands)}, post.grid)


def with_bands(layer: Layer, bands: int) -> Layer:
    """Return a layer of one band as a layer of `bands` equal bands; other layers are cut to their first `bands`."""
    return layer.subset(layer.bands * bands if layer.count == 1 else layer.bands[:bands])


def box_centres(outlines: Outlines, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return (N, 2) row and column of the middle of each outline's box, inside an image of `shape`."""
    return np.clip((outlines.box[:, :2] + outlines.box[:, 2:]) // 2, 0, np.array(shape) - 1)


def in_pixels(geometries: NDArray[Any], shape: tuple[int, int]) -> Outlines:
    """Return outlines of shapes in pixels, x = column, y = row, without Z."""
    return Outlines.on(shapely.force_2d(geometries), shape=shape)


def grades_of(names: Sequence[Any], where: str) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Return indices in the legend xbd of class names, 255 for others, and how often each is ignored. Raises LabelError.

    >>> grades_of(["destroyed", "Major Damage", "un-classified", None], "labels")
    (array([  3,   2, 255, 255], dtype=uint8), {'un-classified': 1, 'None': 1})
    """
    legend = Legend.load(LEGEND)
    known: dict[Any, int] = {}
    for name in set(names):
        try:
            known[name] = legend.index(str(name))
        except LabelError:
            known[name] = VOID
    grades = np.array([known[name] for name in names], np.uint8)
    ignored = Counter(str(name) for name in names if known[name] == VOID)
    if len(names) and not is_graded(grades).any():
        raise LabelError(
            f"{where} grades no building: found {', '.join(sorted(ignored)[:8])}, expected {', '.join(legend.names)}. "
            "Choose the column with data.grade_column, or another file."
        )
    return grades, dict(ignored)


def on_working_grid(
    outlines_px: NDArray[Any],
    post: Layer,
    work: WorkingGrid,
    alignment: FootprintAlignment | None,
    registration: Registration | None,
) -> NDArray[Any]:
    """Return outlines (N,) in pixels of post, where post shows them, in pixels of the working grid."""
    moved = on_post(outlines_px, post.grid, alignment, registration)
    outlines: NDArray[Any] = transform_shapes(work.post_to_work, moved)
    return outlines


@dataclass(frozen=True)
class GradedPair:
    """One site at two dates with graded buildings, in memory.

    Parameters
    ----------
    pre, post : (C, H, W) uint8, at least red, green and blue; post is aligned with pre except for what registration leaves
    outlines : (N,) polygons in pixels of pre, x = column, y = row, at their true positions
    grades : (N,) uint8, grades 0–3 as visible from above; 255 for buildings that are not trained on
    truth : (N,) uint8, grades 0–3 of the buildings themselves; 255 unknown
    gsd_m : ground size of a pixel, metres
    style, hazard : what kind of place it is, and what happened there

    Examples
    --------
    >>> image = np.zeros((3, 32, 32), np.uint8)
    >>> pair = GradedPair(image, image, np.array([shapely.box(4, 4, 9, 9)]), np.zeros(1, np.uint8),
    ...                   np.zeros(1, np.uint8), 0.25, "suburb", "none")
    >>> pair.at_gsd(0.5).pre.shape
    (3, 16, 16)
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    outlines: NDArray[np.object_]
    grades: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    gsd_m: float
    style: str
    hazard: str

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of both images."""
        height, width = self.pre.shape[1:]
        return height, width

    def at_gsd(self, gsd_m: float) -> GradedPair:
        """Return the pair with pixels of another size; one that is coarser already stays as it is.

        Parameters
        ----------
        gsd_m : ground size of a pixel, metres
        """
        if self.gsd_m >= 0.95 * gsd_m:
            return self
        shape = tuple(max(1, round(side * self.gsd_m / gsd_m)) for side in self.shape)
        scale = np.array([shape[1] / self.shape[1], shape[0] / self.shape[0]])
        outlines = shapely.transform(self.outlines, lambda points: points * scale)
        pre, post = (_resized(image, shape) for image in (self.pre, self.post))
        return replace(self, pre=pre, post=post, outlines=outlines, gsd_m=gsd_m)

    def to_labelled(self, name: str, gsd_m: float) -> LabelledPair:
        """Return the pair as what is scored, at the ground size of the training.

        Parameters
        ----------
        name : unique among the pairs
        gsd_m : ground size of a pixel, metres
        """
        pair = self.at_gsd(gsd_m)
        scene = make_scene(*(Layer.open(image).subset(COLOURS) for image in (pair.pre, pair.post)))
        labelled = LabelledPair.of(name, lambda: scene, pair.outlines, pair.grades, gsd_m=pair.gsd_m)
        return replace(labelled, truth=pair.truth, groups=(f"style {pair.style}", f"hazard {pair.hazard}"))


def _resized(image: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return an image of fewer pixels, each the mean of the pixels that it covers."""
    import torch
    import torch.nn.functional as F

    pixels = torch.from_numpy(np.ascontiguousarray(image))[None].float()
    smaller = F.interpolate(pixels, size=shape, mode="bilinear", antialias=True, align_corners=False)
    out: NDArray[np.uint8] = smaller[0].round().clamp(0, 255).byte().numpy()
    return out


def measure_pairs(pairs: Sequence[LabelledPair], *, most_pairs: int = MAX_PAIRS) -> InputSpec:
    """Measure bands, range, scaling and ground size near the buildings of some training pairs. Errors: InputError."""
    chosen = [pairs[index] for index in spread_indices(len(pairs), most_pairs)]
    layers = {name: _measure(chosen, name) for name in (PRE, POST)}
    known = [pair.gsd_m for pair in pairs if pair.gsd_m is not None]
    return InputSpec(layers, round(float(np.median(known)), 6) if known else None)


def scaled_to(inputs: InputSpec, scene: Scene, centres: NDArray[np.int64]) -> InputSpec:
    """Return the inputs with mean and deviation of one scene around its buildings (N, 2), if there are valid pixels."""
    layers = {}
    for name, expected in inputs.layers.items():
        moments = BandMoments(len(expected.bands))
        for pixels in _sample_around_buildings(scene, name, centres):
            moments.update(pixels)
        mean, std = _scaling(moments)
        layers[name] = replace(expected, mean=mean, std=std) if moments.count else expected
    return InputSpec(layers, inputs.gsd_m)


def _measure(pairs: Sequence[LabelledPair], name: str) -> LayerInput:
    counts = {pair.scene.layers[name].count: pair.name for pair in pairs}
    if len(counts) > 1:
        listed = ", ".join(f"{bands} ({pair})" for bands, pair in sorted(counts.items()))
        raise InputError(f"the {name} images have different numbers of bands: {listed}. Train on one kind at a time.")
    moments, kept = BandMoments(next(iter(counts))), []
    for pair in pairs:
        for pixels in _sample_around_buildings(pair.scene, name, pair.centres):
            moments.update(pixels)
            kept.append(pixels[:, :: max(1, pixels.shape[1] // KEPT_PIXELS)])
    if not moments.count:
        raise InputError(f"the {name} images have no valid pixel near a building. Check their nodata.")
    layer = pairs[0].scene.layers[name]
    low, high = np.percentile(np.concatenate(kept, axis=1), (1, 99))
    mean, std = _scaling(moments)
    return LayerInput(
        tuple(layer.band_names), mean, std, float(low), float(high), str(layer.dtype),
        values="stored" if layer.reads_stored else "physical",
    )  # fmt: skip


def _scaling(moments: BandMoments) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation by band."""
    std = np.where(moments.std > 1e-6, moments.std, 1.0)
    return tuple(moments.mean.round(6).tolist()), tuple(std.round(9).tolist())


def _sample_around_buildings(scene: Scene, name: str, centres: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Return valid pixels (C, n) of windows around evenly spread buildings."""
    pixels = []
    for row, col in centres[order_by_place(centres)[spread_indices(len(centres), WINDOWS)]]:
        window = Window(int(row) - WINDOW_PX // 2, int(col) - WINDOW_PX // 2, WINDOW_PX, WINDOW_PX)
        data, valid = scene.layers[name].read(window.clip(scene.shape))
        pixels.append(data[:, valid].astype(np.float32))
    return pixels


def post_inputs(inputs: InputSpec) -> InputSpec:
    """Return the inputs of a grading from only the post image."""
    return InputSpec({POST: inputs.layers[POST]}, inputs.gsd_m)
