"""The max-tree of an image: all connected parts of all its level sets, and their extent.

One tree serves all thresholds and attributes; the min-tree is the max-tree of `image.max() - image`. The max-tree of
scikit-image takes 2 to 40 times as long."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Indices, Mask

COMPRESS_EVERY = 16  # levels; bounds how many steps lead from an old node to the top of its branch


@dataclass(frozen=True)
class MaxTree:
    """level, parent : (m,) int64, from the highest level down; the root is last and its own parent. node_of : (h, w) the node of each pixel.
    starts : first node of each level, and m. Peak memory of `build`: 120 bytes a pixel. Source: Salembier, Oliveras and Garrido 1998."""

    level: Indices
    parent: Indices
    node_of: Indices
    starts: Indices

    @classmethod
    def build(cls, image: NDArray[Any], connectivity: int = 1) -> MaxTree:
        """Build the tree of an image (h, w) of whole numbers ≥ 0; connectivity : 1 four neighbours, 2 eight."""
        zones, zone_level = _flat_zones(image, connectivity)
        high, low = _borders(zones, connectivity)
        level_starts = np.concatenate([[0], np.flatnonzero(np.diff(zone_level)) + 1, [len(zone_level)]])
        border_starts = np.searchsorted(low, level_starts)
        node_of_zone, parent, starts = np.empty(len(zone_level), np.int64), np.arange(len(zone_level)), [0]
        top = parent.copy()
        for number, (first, last) in enumerate(zip(level_starts[:-1], level_starts[1:], strict=True)):
            touching = slice(border_starts[number], border_starts[number + 1])
            branches = _branch_roots(top, node_of_zone[high[touching]])
            joined, members, kept = _connect_zones(low[touching] - first, branches, last - first, top)
            node_of_zone[first:last] = starts[-1] + joined
            parent[kept] = top[kept] = starts[-1] + members
            starts.append(starts[-1] + int(joined.max()) + 1)
            if number % COMPRESS_EVERY == COMPRESS_EVERY - 1:
                _compress(top[: starts[-1]])
        level = np.empty(starts[-1], np.int64)
        level[node_of_zone] = zone_level
        return cls(level, parent[: starts[-1]], node_of_zone[zones], np.array(starts))

    def max_over_parts(self, values: NDArray[Any]) -> Indices:
        """Return the highest whole number among the pixels of each node and of all above it, (m,)."""
        maxima = np.full(len(self.level), np.iinfo(np.int64).min)
        np.maximum.at(maxima, self.node_of.ravel(), values.ravel().astype(np.int64))
        return self._accumulate(np.maximum, maxima)

    def extent(self) -> Indices:
        """Return the longer side of each part's upright bounding box in pixels, (m,)."""
        sides = []
        for axis in (0, 1):
            position = np.broadcast_to(
                np.expand_dims(np.arange(self.node_of.shape[axis]), 1 - axis), self.node_of.shape
            )
            sides.append(self.max_over_parts(position) + self.max_over_parts(-position) + 1)
        return np.maximum(*sides)

    def reconstruct(self, marker: NDArray[Any], keep: Mask | None = None) -> Indices:
        """Return levels (m,) after reconstruction by dilation of a marker (h, w) that is nowhere above the image. keep
        : (m,) parts that stay unchanged, whatever the marker."""
        reach = np.minimum(self.max_over_parts(marker), self.level)
        if keep is not None:
            reach[keep] = self.level[keep]
        level = reach.copy()
        for part in self._levels_from_root():
            below = self.parent[part]
            level[part] = np.where(reach[part] > self.level[below], reach[part], level[below])
        return level

    def _levels_from_root(self) -> list[slice]:
        """Return the nodes of each level from the second lowest up: parents before their children, without the root."""
        parts = [slice(int(first), int(last)) for first, last in zip(self.starts[:-1], self.starts[1:], strict=True)]
        return parts[-2::-1]

    def _accumulate(self, gather: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """Combine each node's value with the values of all nodes above it."""
        for children, first, parents in self._families:
            values[parents] = gather(values[parents], gather.reduceat(values[children], first))
        return values

    @cached_property
    def _families(self) -> list[tuple[Indices, Indices, Indices]]:
        """By level from the top: children sorted by parent (a third of the time of `ufunc.at`), first of each family,
        the parents."""
        families = []
        for part in self._levels_from_root()[::-1]:
            order = np.argsort(self.parent[part], kind="stable")
            children = order + part.start
            parents = self.parent[children]
            first = np.concatenate([[0], np.flatnonzero(np.diff(parents)) + 1])
            families.append((children, first, parents[first]))
        return families


def _flat_zones(image: NDArray[Any], connectivity: int) -> tuple[Indices, Indices]:
    """Label connected pixels of one level from the highest level down: (h, w) zone numbers, (zones,) levels."""
    from skimage.measure import label

    zones = label(image.astype(np.int64), background=-1, connectivity=connectivity) - 1
    levels = np.empty(int(zones.max()) + 1, np.int64)
    levels[zones] = image
    order = np.argsort(-levels, kind="stable")
    number = np.empty_like(order)
    number[order] = np.arange(len(order))
    return number[zones], levels[order]


def _borders(zones: Indices, connectivity: int) -> tuple[Indices, Indices]:
    """Return pairs of zones that touch, (higher, lower), each once, sorted by the lower."""
    sides = [(zones[:, 1:], zones[:, :-1]), (zones[1:], zones[:-1])]
    if connectivity == 2:
        sides += [(zones[1:, 1:], zones[:-1, :-1]), (zones[1:, :-1], zones[:-1, 1:])]
    count = int(zones.max()) + 1
    keys = []
    for zone, other in sides:
        differ = zone != other
        zone, other = zone[differ], other[differ]
        keys.append(np.maximum(zone, other) * count + np.minimum(zone, other))
    sorted_keys = np.sort(np.concatenate(keys))  # np.unique hashes, which takes several times as long
    first = np.ones(len(sorted_keys), bool)
    np.not_equal(sorted_keys[1:], sorted_keys[:-1], out=first[1:])
    low, high = np.divmod(sorted_keys[first], count)
    return high, low


def _branch_roots(top: Indices, nodes: Indices) -> Indices:
    """Return the lowest node so far of each node's branch; also shortens the paths to it."""
    roots = top[nodes]
    moving = np.arange(len(nodes))
    while len(moving):
        onward = top[roots[moving]]
        moved = onward != roots[moving]
        moving = moving[moved]
        roots[moving] = onward[moved]
    top[nodes] = roots
    return roots


def _connect_zones(zones: Indices, branches: Indices, count: int, scratch: Indices) -> tuple[Indices, Indices, Indices]:
    """Connect `count` zones of a level through the branches above them that they touch; pairs are sorted by zone.

    Returns the (count,) number of each zone's new node; for each branch touched its new node, and the branch.
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(branches):
        return np.arange(count), branches, branches
    # each branch once, without sorting: the last of its mentions represents it
    kept, branch_index = _distinct_branches(branches, scratch)
    size = count + len(kept)
    row_starts = np.searchsorted(zones, np.arange(size + 1)).astype(np.int32)
    graph = csr_matrix((np.ones(len(zones)), (count + branch_index).astype(np.int32), row_starts), shape=(size, size))
    parts = connected_components(graph, directed=False)[1].astype(np.int64)
    return parts[:count], parts[count:], kept


def _distinct_branches(branches: Indices, top: Indices) -> tuple[Indices, Indices]:
    """Return distinct branches, and for each mention its index among them. Entries of `top` are restored."""
    mention = np.arange(len(branches))
    top[branches] = mention
    last = top[branches] == mention
    kept = branches[last]
    top[kept] = np.arange(len(kept))
    branch_index = top[branches]
    top[kept] = kept
    return kept, branch_index


def _compress(top: Indices) -> None:
    """Make every node point to the lowest node of its branch."""
    while True:
        onward = top[top]
        if np.array_equal(onward, top):
            return
        top[:] = onward
