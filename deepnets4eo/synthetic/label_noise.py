"""Labels made wrong on purpose, as people make them wrong: to measure what a training takes, and what finds them.

Takes label rasters, or outlines of buildings in metres; returns spoilt copies, the same for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from shapely.affinity import translate

from deepnets4eo.arrays import ByteImage
from deepnets4eo.cards.legend import VOID
from deepnets4eo.errors import InputError, check_choice

if TYPE_CHECKING:
    import geopandas as gpd

LabelKind = Literal["random", "class"]
OutlineKind = Literal["missing", "shifted", "wide"]


def spoil_labels(
    labels: ByteImage, share: float, seed: int, *, num_classes: int, kind: LabelKind = "random", cell_px: int = 1
) -> ByteImage:
    """Return labels (H, W), void 255, of which a share got another class, in cells of `cell_px`; kind "class": always the next.

    >>> labels = np.zeros((100, 100), np.uint8)
    >>> spoilt = spoil_labels(labels, 0.3, 0, num_classes=3)
    >>> bool(0.28 < (spoilt != labels).mean() < 0.32), np.unique(spoilt).tolist()
    (True, [0, 1, 2])
    """
    check_choice("kind", kind, get_args(LabelKind))
    if not 0 <= share <= 1 or num_classes < 2 or cell_px < 1:
        raise InputError(
            f"share={share}, num_classes={num_classes}, cell_px={cell_px}; expected a share from 0 to 1, 2 classes or more, and cells "
            "of at least 1 pixel."
        )
    rng = np.random.default_rng(seed)
    cells = tuple(-(-side // cell_px) for side in labels.shape)
    steps = np.ones(cells, np.uint8) if kind == "class" else rng.integers(1, num_classes, cells, np.uint8)
    steps[rng.random(cells) >= share] = 0
    by_pixel = np.kron(steps, np.ones((cell_px, cell_px), np.uint8))[: labels.shape[0], : labels.shape[1]]
    return np.where(labels == VOID, labels, (labels.astype(int) + by_pixel) % num_classes).astype(np.uint8)


def spoil_outlines(outlines: gpd.GeoDataFrame, kind: OutlineKind, strength: float, seed: int) -> gpd.GeoDataFrame:
    """Return outlines of which the share `strength` is missing, or each is "shifted" or too "wide" by as many metres.

    >>> import geopandas, shapely
    >>> box = geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 10, 10)], crs="EPSG:32636")
    >>> spoil_outlines(box, "wide", 1.0, 0).geometry[0].bounds
    (-1.0, -1.0, 11.0, 11.0)
    """
    check_choice("kind", kind, get_args(OutlineKind))
    if strength < 0 or (kind == "missing" and strength > 1):
        raise InputError(f"strength={strength} of outlines {kind}; expected a share from 0 to 1, or metres from 0 on.")
    rng = np.random.default_rng(seed)
    if kind == "missing":
        return outlines[rng.random(len(outlines)) >= strength]
    if kind == "wide":
        return outlines.set_geometry(outlines.buffer(strength, join_style="mitre"))
    angles = rng.uniform(0, 2 * np.pi, len(outlines))
    steps = zip(outlines.geometry, strength * np.cos(angles), strength * np.sin(angles), strict=True)
    moved = [translate(outline, right, up) for outline, right, up in steps]
    return outlines.set_geometry(moved, crs=outlines.crs)
