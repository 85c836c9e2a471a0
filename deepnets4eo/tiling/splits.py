"""The square blocks of a scene, assigned to parts such as training and validation, with a buffer between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask
from deepnets4eo.errors import InputError
from deepnets4eo.grid import Grid, Window, apply_affine, blocks

WGS84 = "EPSG:4326"


class SceneSplit(Protocol):
    """Assignment of the pixels of one scene to parts; the first part is trained on."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w) of the scene, pixels."""

    @property
    def buffer_px(self) -> int:
        """Distance that training keeps from the other parts, pixels."""

    @property
    def parts(self) -> list[str]:
        """Names of the parts."""

    def mask(self, part: str, window: Window) -> Mask:
        """Return (h, w) bool: pixels of the window that belong to a part; none beyond the edge."""

    def area(self, part: str) -> int:
        """Pixels of a part, the buffer included."""

    def intersects_part(self, part: str, window: Window) -> bool:
        """Return whether a window shows any pixel of a part."""

    def windows(self, part: str, window_px: int) -> list[Window]:
        """Windows that do not overlap and show every pixel of a part."""

    def random_windows(self, part: str, window_px: int, count: int, rng: np.random.Generator) -> list[Window]:
        """`count` windows centred in a part."""

    def contains(self, part: str, pixels: Indices) -> Mask:
        """Return (N,) bool: which pixels, (N, 2) row and column inside the scene, are in a part."""

    def near(self, part: str, boxes: Indices) -> Mask:
        """Return (N,) bool: which boxes (N, 4) reach into a part, or into the buffer around it."""

    def describe(self) -> dict[str, int]:
        """Sizes in pixels, by name."""

    def to_geojson(self, grid: Grid) -> dict[str, Any]:
        """Return the location of the parts as a GeoJSON FeatureCollection."""


@dataclass(frozen=True)
class BlockSplit:
    """Square blocks of a scene of `shape`, assigned at random to parts with shares; the first keeps `buffer_px` from others.

    InputError for shares that do not sum to 1, a buffer wider than a block, fewer blocks than parts.
    """

    shape: tuple[int, int]
    block_px: int
    buffer_px: int
    shares: Mapping[str, float]
    seed: int = 0
    fixed_assignment: NDArray[np.int8] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.shares or min(self.shares.values()) <= 0 or abs(sum(self.shares.values()) - 1) > 1e-6:
            raise InputError(f"split shares are {dict(self.shares)}; expected positive numbers that sum to 1.")
        if not 0 <= self.buffer_px < self.block_px:
            raise InputError(f"buffer_px={self.buffer_px} must be at least 0 and less than block_px={self.block_px}.")
        count = len(blocks(self.shape, self.block_px))
        if count < len(self.shares):
            raise InputError(
                f"a scene of {self.shape} pixels has {count} blocks of {self.block_px} px, too few for the parts "
                f"{list(self.shares)}. Lower block_px."
            )

    @property
    def parts(self) -> list[str]:
        """Names of the parts; the first is trained on."""
        return list(self.shares)

    @cached_property
    def block_assignment(self) -> NDArray[np.int8]:
        """(block rows, block cols) int8, the index in `parts` of each block; each part has at least one."""
        if self.fixed_assignment is not None:
            return self.fixed_assignment
        rows, cols = (-(-side // self.block_px) for side in self.shape)
        edges = np.rint(np.cumsum(list(self.shares.values())) * rows * cols).astype(int)
        sizes = np.maximum(np.diff(edges, prepend=0), 1)
        sizes[np.argmax(sizes)] += rows * cols - sizes.sum()
        order = np.repeat(np.arange(len(self.shares), dtype=np.int8), sizes)
        return np.random.default_rng(self.seed).permutation(order).reshape(rows, cols)

    def mask(self, part: str, window: Window) -> Mask:
        """Return (h, w) bool: pixels of the window that belong to `part`, the buffer left out; none beyond the edge."""
        index = self._index(part)
        reach = self.buffer_px if index == 0 else 0
        inside = np.zeros((window.height, window.width), bool)
        inside[window.clip(self.shape).within(window).slices] = True
        for block in self._blocks_of_others(index, window.grow(reach)):
            inside[block.grow(reach).within(window).clip(inside.shape).slices] = False
        return inside

    def intersects_part(self, part: str, window: Window) -> bool:
        """Return whether a window reaches into any block of a part."""
        index = self._index(part)
        return any(self.block_assignment[row, col] == index for row, col in self._blocks_under(window))

    def blocks(self, part: str) -> list[Window]:
        """Return the blocks of a part, row by row."""
        every = zip(blocks(self.shape, self.block_px), self.block_assignment.ravel(), strict=True)
        return [window for window, index in every if index == self._index(part)]

    def area(self, part: str) -> int:
        """Pixels of the blocks of a part, the buffer included."""
        return sum(block.height * block.width for block in self.blocks(part))

    def windows(self, part: str, window_px: int) -> list[Window]:
        """Non-overlapping windows that cover the blocks of a part, e.g. to validate on."""
        return [
            window.move(block.row, block.col)
            for block in self.blocks(part)
            for window in blocks((block.height, block.width), window_px)
        ]

    def random_windows(self, part: str, window_px: int, count: int, rng: np.random.Generator) -> list[Window]:
        """`count` windows centred in blocks of a part; they may reach out of it, so mask their labels with `mask`."""
        chosen = self.blocks(part)
        areas = np.array([block.height * block.width for block in chosen])
        even = (areas == areas[0]).all()
        drawn = rng.integers(len(chosen), size=count) if even else rng.choice(len(chosen), count, p=areas / areas.sum())
        middles = rng.random((count, 2))
        windows = []
        for index, (down, right) in zip(drawn, middles, strict=True):
            block = chosen[index]
            centre = block.row + int(down * block.height), block.col + int(right * block.width)
            row, col = (
                int(np.clip(middle - window_px // 2, 0, max(side - window_px, 0)))
                for middle, side in zip(centre, self.shape, strict=True)
            )
            windows.append(Window(row, col, window_px, window_px))
        return windows

    def contains(self, part: str, pixels: Indices) -> Mask:
        """Return (N,) bool: which pixels, (N, 2) row and column in the scene, are in a block of a part; all False without blocks."""
        if part not in self.shares:
            return np.zeros(len(pixels), bool)
        row, col = (pixels // self.block_px).T
        return np.asarray(self.block_assignment[row, col] == self._index(part))

    def near(self, part: str, boxes: Indices) -> Mask:
        """Return (N,) which boxes (rows and columns: first, after the last) reach into a part's blocks or their buffer."""
        near = np.zeros(len(boxes), bool)
        for block in self.blocks(part) if part in self.shares else []:
            reach = block.grow(self.buffer_px)
            near |= (
                (boxes[:, 0] < reach.row + reach.height) & (boxes[:, 2] > reach.row)
                & (boxes[:, 1] < reach.col + reach.width) & (boxes[:, 3] > reach.col)
            )  # fmt: skip
        return near

    def describe(self) -> dict[str, int]:
        """Sides of a block and of the buffer, pixels."""
        return {"block_px": self.block_px, "buffer_px": self.buffer_px}

    def to_geojson(self, grid: Grid) -> dict[str, Any]:
        """Return the blocks as a GeoJSON FeatureCollection with the property `part`; WGS 84, or pixels without a CRS."""
        features = []
        for window, index in zip(blocks(self.shape, self.block_px), self.block_assignment.ravel(), strict=True):
            properties = {"part": self.parts[index]}
            features.append({"type": "Feature", "properties": properties, "geometry": outline(grid, window)})
        described = {"block_px": self.block_px, "buffer_px": self.buffer_px, "seed": self.seed}
        return {
            "type": "FeatureCollection", "split": {"shares": dict(self.shares), **described}, "features": features,
        }  # fmt: skip

    def _index(self, part: str) -> int:
        if part not in self.shares:
            raise InputError(f"the split has the parts {self.parts}, not {part!r}. Use one of them.")
        return self.parts.index(part)

    def _blocks_under(self, window: Window) -> list[tuple[int, int]]:
        """(row, col) of the blocks that a window reaches into."""
        inside = window.clip(self.shape)
        if not inside.height or not inside.width:
            return []
        rows = range(inside.row // self.block_px, -(-(inside.row + inside.height) // self.block_px))
        cols = range(inside.col // self.block_px, -(-(inside.col + inside.width) // self.block_px))
        return [(row, col) for row in rows for col in cols]

    def _blocks_of_others(self, index: int, window: Window) -> list[Window]:
        """Blocks of other parts that a window reaches into."""
        side = self.block_px
        others = [(row, col) for row, col in self._blocks_under(window) if self.block_assignment[row, col] != index]
        return [Window(row * side, col * side, side, side).clip(self.shape) for row, col in others]


def outline(grid: Grid, window: Window) -> dict[str, Any]:
    """Return a window as a GeoJSON polygon; WGS 84, or pixels without a CRS."""
    from rasterio.warp import transform_geom

    top, left, bottom, right = window.row, window.col, window.row + window.height, window.col + window.width
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], float)
    geometry = {"type": "Polygon", "coordinates": [apply_affine(grid.affine, corners).tolist()]}
    return geometry if grid.crs is None else dict(transform_geom(grid.crs.to_wkt(), WGS84, geometry))
