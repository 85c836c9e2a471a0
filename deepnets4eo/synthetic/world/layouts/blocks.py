"""Streets and the blocks between them, and lots along lines.

Streets run along x, one above the other, and cross streets cut the strips between them into blocks. Streets may bend.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.clearance import Rects, rect_rows, widen, within
from deepnets4eo.synthetic.world.layouts.draft import MARGIN_M, Draft

_PIECE_M = 13.0  # bent streets are chains of such pieces
_KERB_M = 0.4  # from the carriageway to the nearest wall, at least


@dataclass(frozen=True)
class Bend:
    """A map z → z + b z² + c z³ of complex positions that bends a frame and keeps right angles, so that streets become
    curves that still cross at right angles."""

    square: complex
    cube: complex

    @classmethod
    def draw(cls, draft: Draft, strength: float) -> Bend:
        """Draw a map; `strength` is the largest turn in radians and the largest change of scale at the corners of the
        frame, 0 for straight streets."""
        radius = float(np.hypot(*draft.half_m))
        heading = np.exp(1j * draft.rng.uniform(0, 2 * np.pi, 2))
        share = draft.rng.uniform(0, 1)
        return cls(
            complex(share * strength / (2 * radius) * heading[0]),
            complex((1 - share) * strength / (3 * radius**2) * heading[1]),
        )

    def move(self, rects: Rects) -> Rects:
        """Move rectangles (N, 5) with the bent frame; they turn and change their size with it."""
        z = rects[:, 0] + 1j * rects[:, 1]
        moved = z * (1 + z * (self.square + z * self.cube))
        slope = 1 + z * (2 * self.square + z * 3 * self.cube)
        scale = np.abs(slope)
        return rect_rows(
            moved.real, moved.imag, rects[:, 2] * scale, rects[:, 3] * scale, rects[:, 4] + np.angle(slope)
        )


@dataclass(frozen=True)
class Town:
    """Blocks and streets of a site, before they are bent: (N, 5) and (S, 5), length along x, along the street."""

    blocks: Rects
    streets: Rects
    bend: Bend


def draw_town(draft: Draft) -> Town:
    """Draw streets and the blocks near the site by the numbers block_m, row_m, street_m, main_m, aligned and bend of
    the style; nothing is added to the draft."""
    rng = draft.rng
    half_x, half_y = (1.2 * half + MARGIN_M for half in draft.half_m)  # the bend may shrink it
    lanes, strips = _cut(draft, "block_m", half_y)
    first_cross, first_cells = _cut(draft, "row_m", half_x)
    aligned = rng.random() < draft.number("aligned")
    blocks, streets = [], [rect_rows(0.0, lanes[:, 0], 2 * half_x, lanes[:, 1])]
    for middle, width in strips:
        cross, cells = (first_cross, first_cells) if aligned else _cut(draft, "row_m", half_x)
        blocks.append(rect_rows(cells[:, 0], middle, cells[:, 1], width))
        streets.append(rect_rows(cross[:, 0], middle, width + 8.0, cross[:, 1], np.pi / 2))
    every_block, every_street = np.concatenate(blocks), np.concatenate(streets)
    bend = Bend.draw(draft, draft.number("bend"))
    near = draft.near_site(bend.move(every_block))
    return Town(every_block[near], every_street, bend)


def _cut(draft: Draft, name: str, half: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cut −half … half into streets and what lies between: rows (middle, width) of both."""
    typical = draft.number(name)  # blocks of a site are alike, more or less
    low, high = draft.style.numbers[name]
    count = int(2 * half / low) + 2
    sizes = np.clip(draft.rng.normal(typical, 0.12 * (high - low), count), low, high)
    widths = draft.numbers("street_m", count)
    main = draft.rng.random(count) < 0.25
    widths[main] = draft.numbers("main_m", count)[main]
    edges = np.cumsum(widths + sizes) - half - draft.rng.uniform(0, typical)
    starts = edges - sizes - widths  # of the street before each block
    streets = np.stack([starts + widths / 2, widths], axis=1)
    between = np.stack([starts + widths + sizes / 2, sizes], axis=1)
    kept = starts < half
    return streets[kept], between[kept]


def pave_streets(draft: Draft, town: Town, material: str, *, verge: str | None = None) -> Rects:
    """Add the streets of a material ("asphalt" or "old_asphalt", on which no building stands) with verges beside them,
    take their ground, and return the pieces of the carriageways (N, 5)."""
    bent = town.bend.move(_pieces(town))
    bent = bent[draft.near_site(bent)]
    if verge is not None:
        draft.add_area(widen(bent, draft.rng.uniform(1.2, 2.6)), verge)
    draft.add_area(bent, material, tone=draft.rng.uniform(0.85, 1.15))
    draft.take(widen(bent, _KERB_M))
    return bent


def _pieces(town: Town) -> Rects:
    """Streets cut into short pieces that overlap a little where they bend; straight ones stay whole."""
    if abs(town.bend.square) + abs(town.bend.cube) == 0:
        return town.streets
    counts = np.ceil(town.streets[:, 2] / _PIECE_M).astype(int)
    street, step = repeat_runs(counts)
    size = town.streets[street, 2] / counts[street]
    u = (step + 0.5) * size - town.streets[street, 2] / 2
    return within(town.streets[street], u, 0.0, size + 1.0, town.streets[street, 3])


def block_sides(blocks: Rects, front_m: float = 0.5) -> Rects:
    """Return the two halves (2 N, 5) of each block, their v axes to the street, of which `front_m` stays free."""
    depth = np.maximum(blocks[:, 3] / 2 - front_m, 1.0)
    sides = np.concatenate(
        [within(blocks, 0.0, side * depth / 2, blocks[:, 2] - 2 * front_m, depth) for side in (1, -1)]
    )
    sides[len(blocks) :, 4] += np.pi
    return sides


def repeat_runs(counts: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the index of each run and the position in it, for runs of different lengths.

    >>> repeat_runs(np.array([2, 0, 3]))
    (array([0, 0, 2, 2, 2]), array([0, 1, 0, 1, 2]))
    """
    counts = np.maximum(counts, 0)
    run = np.repeat(np.arange(len(counts)), counts)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(counts) - counts, counts)


def cut_lots(
    draft: Draft, lengths: NDArray[np.float64], typical: float, spread: float = 0.15
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Cut lines into lots of about `typical` metres that fill them: line, middle (from the middle of the line) and
    frontage of each lot. Lines shorter than 0.7 lots have none."""
    counts = np.where(lengths > 0.7 * typical, np.maximum(1, np.round(lengths / typical)), 0).astype(int)
    line, _ = repeat_runs(counts)
    weight = np.clip(draft.rng.normal(1.0, spread, len(line)), 0.5, 1.8)
    total = np.bincount(line, weight, len(lengths))
    frontage = weight * (lengths / np.where(total > 0, total, 1.0))[line]
    ends = np.cumsum(frontage)
    before = np.concatenate([[0.0], np.cumsum(np.bincount(line, frontage, len(lengths)))])[:-1]
    middle = ends - frontage / 2 - before[line] - lengths[line] / 2
    return line, middle, frontage
