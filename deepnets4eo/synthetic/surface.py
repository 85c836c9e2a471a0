"""The painted state of the city at one date: heights, colours and materials of every pixel.

Takes shapes in local metres (x to the right, y down, origin at the upper left corner of the canvas).
Objects are stamped without loops: sample points of all rectangles at once, later ones on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

OPAQUE = 90  # crown cover (0–255) from which a crown counts: in the surface model, the labels and the shadows


@dataclass
class Rectangles:
    """N oriented rectangles in local metres: centres, full lengths along and across, angle of the long axis (rad)."""

    x: np.ndarray
    y: np.ndarray
    length: np.ndarray
    width: np.ndarray
    angle: np.ndarray

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(cls, rows: list[tuple[float, float, float, float, float]]) -> Rectangles:
        """From (x, y, length, width, angle) tuples."""
        table = np.array(rows, float).reshape(-1, 5)
        return cls(*table.T)

    def take(self, keep: np.ndarray) -> Rectangles:
        """A subset by mask or index."""
        return Rectangles(self.x[keep], self.y[keep], self.length[keep], self.width[keep], self.angle[keep])


@dataclass
class Surface:
    """Arrays of one date, all (H, W) unless said.

    ground : float32, terrain height in metres
    height : float32, solid objects (roofs, cars, walls, rubble) in metres above ground
    canopy : float32, top of tree crowns in metres above ground, 0 where none
    cover : uint8, opacity of the crown, 0–255
    leaf : (4, H, W) uint8, display colour of the crown
    building : int32, index of the building plus one
    material : uint8, code of `materials.NAMES`
    albedo : (4, H, W) uint8, display colour under the crowns; reflectance is its square over 255²
    slope_x, slope_y : float16, gradient of roof planes (rise over run to the right, down)
    """

    gsd_m: float
    ground: np.ndarray
    height: np.ndarray
    canopy: np.ndarray
    cover: np.ndarray
    leaf: np.ndarray
    building: np.ndarray
    material: np.ndarray
    albedo: np.ndarray
    slope_x: np.ndarray
    slope_y: np.ndarray

    @classmethod
    def bare(cls, ground: np.ndarray, gsd_m: float) -> Surface:
        """A surface with nothing on the terrain yet."""
        shape = ground.shape
        return cls(
            gsd_m,
            ground,
            height=np.zeros(shape, np.float32),
            canopy=np.zeros(shape, np.float32),
            cover=np.zeros(shape, np.uint8),
            leaf=np.zeros((4, *shape), np.uint8),
            building=np.zeros(shape, np.int32),
            material=np.zeros(shape, np.uint8),
            albedo=np.zeros((4, *shape), np.uint8),
            slope_x=np.zeros(shape, np.float16),
            slope_y=np.zeros(shape, np.float16),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w) of the canvas."""
        return self.ground.shape[0], self.ground.shape[1]

    @property
    def dsm(self) -> np.ndarray:
        """(H, W) float32: top surface, metres."""
        crowns = np.where(self.cover > OPAQUE, self.canopy, 0)
        return self.ground + np.maximum(self.height, crowns)

    def pixels(self, rectangles: Rectangles) -> tuple[np.ndarray, np.ndarray]:
        """Flat pixel indices hit by each rectangle, and which rectangle hit it, in drawing order."""
        step = 0.7 * self.gsd_m
        along = np.maximum(np.ceil(rectangles.length / step), 1).astype(np.int64)
        across = np.maximum(np.ceil(rectangles.width / step), 1).astype(np.int64)
        counts = along * across
        owner = np.repeat(np.arange(len(rectangles)), counts)
        index = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        a = ((index // across[owner] + 0.5) / along[owner] - 0.5) * rectangles.length[owner]
        b = ((index % across[owner] + 0.5) / across[owner] - 0.5) * rectangles.width[owner]
        cos, sin = np.cos(rectangles.angle)[owner], np.sin(rectangles.angle)[owner]
        col = np.floor((rectangles.x[owner] + a * cos - b * sin) / self.gsd_m).astype(np.int64)
        row = np.floor((rectangles.y[owner] + a * sin + b * cos) / self.gsd_m).astype(np.int64)
        inside = (row >= 0) & (row < self.shape[0]) & (col >= 0) & (col < self.shape[1])
        return (row * self.shape[1] + col)[inside], owner[inside]

    def stamp(
        self, rectangles: Rectangles, colours: np.ndarray, *, height_m: np.ndarray | float, material: int | np.ndarray
    ) -> None:
        """Draw objects: display `colours` (N, 4), `height_m` above ground (N or one), material code (N or one)."""
        if not len(rectangles):
            return
        flat, owner = self.pixels(rectangles)
        for band in range(4):
            self.albedo[band].reshape(-1)[flat] = colours[owner, band].astype(np.uint8)
        self.height.reshape(-1)[flat] = np.broadcast_to(np.asarray(height_m, np.float32), len(rectangles))[owner]
        self.material.reshape(-1)[flat] = np.broadcast_to(np.asarray(material, np.uint8), len(rectangles))[owner]
        self.slope_x.reshape(-1)[flat] = 0
        self.slope_y.reshape(-1)[flat] = 0
