"""Labelled pairs: an image before, one after, building outlines and their grades, whatever layout they came in.

Takes layers that show the same thing at the same pixel; single-band images stand for as many bands as the other has.
Refuses grades that no building carries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.damage.colour_choice import in_colour
from deepnets4eo.damage.evidence.gather import on_post
from deepnets4eo.damage.evidence.working_grid import WorkingGrid
from deepnets4eo.errors import LabelError
from deepnets4eo.footprints import FootprintAlignment
from deepnets4eo.grid import Grid, transform_shapes
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.registration import Registration
from deepnets4eo.zonal.outlines import Outlines

PRE, POST = "pre", "post"
MOST_OPEN = 48  # pairs, each with two files a reading thread
LEGEND = "xbd"


@dataclass(frozen=True)
class LabelledPair:
    """One site at two dates with graded buildings. Make one with `LabelledPair.of`.

    Parameters
    ----------
    name
        Unique among the pairs.
    event
        The disaster, for splits by event.
    opener
        Opens the layers pre and post on one grid.
    grid
        The grid of post.
    outlines
        N buildings in the pixels of post.
    grades
        (N,) uint8, indices in the legend xbd, 255 for buildings that are not learnt from.
    gsd_m
        Ground size of a pixel in metres; none: unknown.
    ignored
        How many buildings have each class that the legend lacks.
    sources
        Layer → file.
    synthetic
        Whether the images are simulated.

    Examples
    --------
    ```python
    pair = LabelledPair.of("7", lambda: make_scene(pre, post), outlines, grades, gsd_m=0.5)
    ```
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
        """A pair of outlines given in pixels; opens its images once, to see where they lie and what they are."""
        scene = opener()
        return cls(
            name=name, event=name if event is None else event, opener=opener, grid=scene.grid,
            outlines=in_pixels(outlines, scene.shape), grades=grades, gsd_m=gsd_m, ignored=ignored or {},
            sources={layer: opened.source for layer, opened in scene.layers.items()}, synthetic=scene.synthetic,
        )  # fmt: skip

    @property
    def scene(self) -> Scene:
        """The two images, opened; of thousands of pairs only those used last stay open."""
        return _open_cached(self.opener)

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of both images."""
        height, width = self.grid.shape
        return height, width

    @property
    def boxes(self) -> NDArray[np.int64]:
        """(N, 4) first row, first column, row after the last, column after the last."""
        return self.outlines.box

    @property
    def centres(self) -> NDArray[np.int64]:
        """(N, 2) row and column of the middle of each building, held inside the image."""
        return box_centres(self.outlines, self.shape)


@lru_cache(maxsize=MOST_OPEN)
def _open_cached(opener: Callable[[], Scene]) -> Scene:
    return opener()


def make_scene(pre: Layer, post: Layer) -> Scene:
    """Both dates on the grid of post, pixel for pixel where `pre` claims another one of the same shape.

    Of each image, red, green and blue are taken as it declares them (see `in_colour`). One of one band (a radar amplitude)
    is repeated to the bands of the other, as the shared weights need; else both are cut to the bands they have in common.
    """
    pre, post = in_colour(pre), in_colour(post)
    counts = pre.count, post.count
    bands = max(counts) if 1 in counts else min(counts)
    return Scene({PRE: with_bands(pre, bands).with_grid(post.grid), POST: with_bands(post, bands)}, post.grid)


def with_bands(layer: Layer, bands: int) -> Layer:
    """A layer of one band as one of `bands` equal ones; others are cut to their first `bands`."""
    return layer.subset(layer.bands * bands if layer.count == 1 else layer.bands[:bands])


def box_centres(outlines: Outlines, shape: tuple[int, int]) -> NDArray[np.int64]:
    """(N, 2) row and column of the middle of each outline's box, held inside an image of `shape`."""
    return np.clip((outlines.box[:, :2] + outlines.box[:, 2:]) // 2, 0, np.array(shape) - 1)


def in_pixels(geometries: NDArray[Any], shape: tuple[int, int]) -> Outlines:
    """Outlines given in pixels, x = column, y = row; Z values are dropped."""
    return Outlines.on(shapely.force_2d(geometries), shape=shape)


def grades_of(names: Sequence[Any], where: str) -> tuple[NDArray[np.uint8], dict[str, int]]:
    """Indices in the legend xbd of class names, 255 for all else; and how often each name is ignored.

    Errors: LabelError when no name is a grade.

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
    if len(names) and (grades == VOID).all():
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
    """Outlines (N,), given in pixels of the post image, where the post image shows them, in pixels of the working grid."""
    moved = on_post(outlines_px, post.grid, alignment, registration)
    outlines: NDArray[Any] = transform_shapes(work.post_to_work, moved)
    return outlines
