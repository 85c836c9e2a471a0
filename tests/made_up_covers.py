"""Pairs with land cover of three classes at both dates, on disk: brightness shows the class, a square has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from geotiff import write_geotiff

COVER = {
    "name": "three",
    "classes": [
        {"value": 1, "name": "built", "color": [255, 0, 0]},
        {"value": 2, "name": "field", "color": [200, 200, 0]},
        {"value": 3, "name": "water", "color": [0, 0, 255]},
    ],
}
LAYERS = {
    "image_pre": "*/pre.tif", "image_post": "*/post.tif", "labels": "*/change.tif",
    "cover_pre": "*/cover_pre.tif", "cover_post": "*/cover_post.tif",
}  # fmt: skip
SIDE = 96


def covers(seed: int, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """Class indices at both dates, (side, side) each: squares of 16 px; one in five is of the next class later."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 3, (side // 16,) * 2)
    changed = rng.random(cells.shape) < 0.2
    changed.flat[0] = True
    return tuple(np.kron(one, np.ones((16, 16), int)) for one in (cells, (cells + changed) % 3))  # type: ignore[return-value]


def write_covers(folder: Path, scenes: int = 2, side: int = SIDE) -> Path:
    """Scenes as folders; labels of cover are 1 to 3, of change 0 and 1."""
    for number in range(scenes):
        rng = np.random.default_rng(100 + number)
        pre, post = covers(number, side)
        for name, cover in (("pre", pre), ("post", post)):
            image = np.clip(40 + 70 * cover + rng.normal(0, 5, (2, side, side)), 0, 255).astype(np.uint8)
            write_geotiff(folder / f"scene{number}" / f"{name}.tif", image)
            write_geotiff(folder / f"scene{number}" / f"cover_{name}.tif", (cover + 1).astype(np.uint8))
        write_geotiff(folder / f"scene{number}" / "change.tif", (pre != post).astype(np.uint8))
    return folder
