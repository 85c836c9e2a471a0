"""Points along the outlines of many polygons, in the middle of equal pieces of each side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Points
from deepnets4eo.zonal.outlines import ranges

Box = tuple[Points, Points]  # its lowest and highest (x, y)

SLACK_PX = 1.0  # around a box, so that rounding loses no piece


@dataclass(frozen=True)
class OutlinePoints:
    """Points (P, 2) along N outlines, normals (P, 2) outwards; outline i has the points starts[i] … starts[i + 1], of `whole`."""

    points: Points
    normals: Points
    starts: Indices
    whole: Indices

    @property
    def owner(self) -> Indices:
        """Return (P,) position of the outline that each point belongs to."""
        return np.repeat(np.arange(len(self.whole)), np.diff(self.starts))


@dataclass(frozen=True)
class Sides:
    """Straight sides of N outlines from begin to end (E, 2), normals (E, 2) outwards; outline i: starts[i] … starts[i + 1]."""

    starts: Indices
    begin: Points
    end: Points
    normals: Points

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Points:
        """Return (E,) length of each side, pixels."""
        along = np.abs(self.end - self.begin)
        return np.asarray(np.hypot(along[:, 1], along[:, 0]))

    @property
    def areas(self) -> Points:
        """Return (N,) area that the sides of each outline enclose, pixels."""
        middle = (self.begin + self.end) / 2
        away = (middle[:, 1] * self.normals[:, 1] + middle[:, 0] * self.normals[:, 0]) / 2
        owner = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return np.bincount(owner, away * self.lengths, minlength=len(self)).astype(np.float64)

    @property
    def perimeters(self) -> Points:
        """Return (N,) length of all sides of each outline, pixels."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.starts))
        return np.bincount(owner, self.lengths, minlength=len(self)).astype(np.float64)

    @property
    def boxes(self) -> tuple[Points, Points]:
        """Lowest and highest (x, y) of each outline, (N, 2) each; NaN for empty ones."""
        low, high = np.full((len(self), 2), np.nan), np.full((len(self), 2), np.nan)
        present = np.flatnonzero(np.diff(self.starts))
        if len(present):
            first = self.starts[present]
            low[present] = np.minimum.reduceat(np.minimum(self.begin, self.end), first)
            high[present] = np.maximum.reduceat(np.maximum(self.begin, self.end), first)
        return low, high

    @classmethod
    def of(cls, polygons: NDArray[np.object_], *, holes: bool = True) -> Sides:
        """Take (N,) polygons in pixels apart; other shapes have no sides."""
        parts, owner = shapely.get_parts(polygons, return_index=True)
        rings, polygon = shapely.get_rings(parts, return_index=True)
        exterior = np.ones(len(rings), bool)
        exterior[1:] = polygon[1:] != polygon[:-1]
        if not holes:
            rings, polygon, exterior = rings[exterior], polygon[exterior], exterior[exterior]
        xy, ring = shapely.get_coordinates(rings, return_index=True)
        same = ring[1:] == ring[:-1]
        begin, end, ring = xy[:-1][same], xy[1:][same], ring[:-1][same]
        area = np.bincount(ring, begin[:, 0] * end[:, 1] - end[:, 0] * begin[:, 1], minlength=len(rings))
        step = end - begin
        length = np.hypot(*step.T)
        sign = np.where((area[ring] > 0) == exterior[ring], 1.0, -1.0) / np.maximum(length, 1e-12)
        normals = np.column_stack([step[:, 1] * sign, -step[:, 0] * sign])
        keep = length > 0
        count = np.bincount(owner[polygon[ring[keep]]], minlength=len(polygons))
        return cls(_starts(count), begin[keep], end[keep], normals[keep])

    @classmethod
    def concatenate(cls, parts: list[Sides]) -> Sides:
        """Concatenate the sides of several parts."""
        counts = np.concatenate([np.diff(part.starts) for part in parts])
        begin, end, normals = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("begin", "end", "normals")
        )
        return cls(_starts(counts), begin, end, normals)

    def subset(self, outlines: NDArray[np.integer[Any]]) -> Sides:
        """Return the sides of some outlines (M,), in that order."""
        counts = self.starts[outlines + 1] - self.starts[outlines]
        index = ranges(self.starts[outlines], counts)
        return Sides(_starts(counts), self.begin[index], self.end[index], self.normals[index])

    def trace(self, step_px: float, box: Box | None = None) -> OutlinePoints:
        """Points in the middle of pieces of at most `step_px`; with a box those in it and a few around."""
        pieces = self._pieces(step_px)
        first, made = self._pieces_in(pieces, box)
        side = np.repeat(np.arange(len(pieces)), made)
        starts, whole = (_starts(number)[self.starts] for number in (made, pieces))
        return OutlinePoints(
            self._middles(side, ranges(first, made), pieces), self.normals[side], starts, np.diff(whole)
        )

    def reach(self, step_px: float) -> Box:
        """Lowest and highest (x, y) of the points that `trace` makes."""
        pieces = self._pieces(step_px)
        every = np.arange(len(pieces))
        outer = [self._middles(every, number, pieces) for number in (np.zeros_like(pieces), pieces - 1)]
        return np.minimum(*outer).min(axis=0), np.maximum(*outer).max(axis=0)

    def count_points(self, step_px: float, box: Box | None = None) -> Indices:
        """Return (N,) number of points that `trace` makes of each outline."""
        _, made = self._pieces_in(self._pieces(step_px), box)
        return np.diff(_starts(made)[self.starts])

    def _pieces(self, step_px: float) -> Indices:
        """Return (E,) number of equal pieces that each side is cut into."""
        return np.maximum(np.ceil(self.lengths / step_px), 1).astype(np.int64)

    def _pieces_in(self, pieces: Indices, box: Box | None) -> tuple[Indices, Indices]:
        """Return the number of the first piece of each side that may meet the box, and how many do, (E,)."""
        return (np.zeros_like(pieces), pieces) if box is None else pieces_near(self.begin, self.end, pieces, *box)

    def _middles(self, side: NDArray[np.integer[Any]], number: Indices, pieces: Indices) -> Points:
        """Middles of some pieces, by their side and their number on it."""
        along = ((number + 0.5) / pieces[side])[:, None]
        middles: Points = self.begin[side] + along * (self.end - self.begin)[side]
        return middles


def pieces_near(begin: Points, end: Points, count: Indices, low: Points, high: Points) -> tuple[Indices, Indices]:
    """Return which of `count` (E,) equal pieces of sides may meet a box: first (E,), how many (E,)."""
    low, high = low - SLACK_PX, high + SLACK_PX
    first, number = np.zeros(len(count), np.int64), np.array(count, np.int64)
    beyond = ((np.minimum(begin, end) < low) | (np.maximum(begin, end) > high)).any(axis=1)
    if not beyond.any():
        return first, number
    begin, step = begin[beyond], end[beyond] - begin[beyond]
    level = step == 0
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.stack([(low - begin) / step, (high - begin) / step])
    enter, leave = shares.min(axis=0), shares.max(axis=0)
    outside = level & ((begin < low) | (begin > high))
    enter, leave = np.where(level, 0.0, enter), np.where(level, 1.0, leave)
    enter = np.clip(enter, 0, 1).max(axis=1)
    leave = np.where(outside.any(axis=1), -1.0, np.clip(leave, 0, 1).min(axis=1))
    pieces = count[beyond]
    start = np.maximum(np.floor(enter * pieces).astype(np.int64) - 1, 0)
    stop = np.minimum(np.ceil(leave * pieces).astype(np.int64) + 1, pieces)
    meets = leave >= enter
    first[beyond], number[beyond] = start, np.where(meets, np.maximum(stop - start, 0), 0)
    return first, number


def _starts(counts: NDArray[np.integer[Any]]) -> Indices:
    """Return (N + 1,) where the items of each of N owners begin, from their counts."""
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
