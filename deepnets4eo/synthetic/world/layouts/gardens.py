"""Things in gardens: garages, sheds, pools, beds, fences and hedges.

Garages (16 m² and more) are buildings as a responder maps them; sheds, carports and greenhouses are structures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.synthetic.world.layouts.clearance import Rects, within
from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.palette import vary
from deepnets4eo.synthetic.world.plan import ELLIPSE, FLAT, GABLE, MONO, PLAIN, RECTANGLE, SHEETS

_SHED_TONES = ((118, 96, 78), (150, 150, 148), (92, 92, 90), (176, 172, 164), (128, 74, 56), (92, 116, 100))


def add_garden_things(draft: Draft, lots: Rects, back: NDArray[np.float64]) -> None:
    """Add garages, sheds, pools and beds behind houses by the shares of the style. Lots (N, 5) have their v axis to the
    street; `back` (N,) is the v in metres of the wall to the garden."""
    rng = draft.rng
    n = len(lots)
    room = back + lots[:, 3] / 2  # from the wall to the rear fence
    side = rng.choice([-1.0, 1.0], n)
    length, width = rng.uniform(5.2, 8.0, n), rng.uniform(3.2, 6.5, n)
    garages = within(lots, side * (lots[:, 2] / 2 - width / 2 - 0.6), back - 1.2 - length / 2, length, width, np.pi / 2)
    _add_garages(draft, garages[(rng.random(n) < draft.number("garages")) & (room > length + 1.5)])
    rear = -lots[:, 3] / 2
    sizes = rng.uniform(1.8, 3.4, (2, n))
    sheds = within(lots, -side * (lots[:, 2] / 2 - sizes[0] / 2 - 0.5), rear + sizes[1] / 2 + 0.5, *sizes)
    add_sheds(draft, sheds[(rng.random(n) < draft.number("sheds")) & (room > 6)])
    pools = within(lots, rng.uniform(-0.2, 0.2, n) * lots[:, 2], back - rng.uniform(0.45, 0.65, n) * room, 8.0, 4.0)
    add_pools(draft, pools[(rng.random(n) < draft.number("pools")) & (room > 9)])
    beds = within(
        lots, rng.uniform(-0.3, 0.3, n) * lots[:, 2], back - 0.75 * room, rng.uniform(2, 7, n), rng.uniform(1.5, 5, n)
    )
    dug = (rng.random(n) < 0.25) & (room > 7)
    draft.add_area(beds[dug], str(rng.choice(["soil", "gravel", "dry_grass"])), rough=0.5, tone=rng.uniform(0.8, 1.1))


def _add_garages(draft: Draft, rects: Rects) -> None:
    stays = draft.take_free(rects, np.arange(len(rects)))
    looks = draft.palette.draw(int(stays.sum()), draft.rng)
    looks.kind[draft.rng.random(len(looks.kind)) < 0.3] = FLAT
    draft.add_buildings(rects[stays], np.arange(int(stays.sum())), draft.rng.uniform(2.3, 2.9), looks)


def add_sheds(draft: Draft, rects: Rects) -> None:
    """Add small sheds of wood or sheet at rectangles (N, 5), which no responder maps."""
    rng = draft.rng
    rects = rects[draft.take_free(rects, np.arange(len(rects)))]
    n = len(rects)
    colour = vary(np.array(_SHED_TONES)[rng.integers(0, len(_SHED_TONES), n)], n, rng)
    kind = rng.choice([GABLE, MONO, FLAT], n)
    draft.add_structures(rects, rng.uniform(1.9, 2.4, n), rise=0.35, kind=kind, surface=SHEETS, colour=colour)


def add_pools(draft: Draft, rects: Rects) -> None:
    """Add pools with paved rims at rectangles (N, 5); their sizes are drawn."""
    rng = draft.rng
    n = len(rects)
    pools = rects.copy()
    pools[:, 2], pools[:, 3] = rng.uniform(4.5, 11.0, n), rng.uniform(3.0, 5.5, n)
    shape = np.where(rng.random(n) < 0.3, ELLIPSE, RECTANGLE)
    rims = pools.copy()
    rims[:, 2:4] += rng.uniform(1.5, 5.0, (n, 1))
    free = draft.take_free(pools, np.arange(n))
    draft.add_area(rims[free], "concrete", shape=RECTANGLE, tone=rng.uniform(0.9, 1.1, int(free.sum())))
    draft.add_area(pools[free], "pool", shape=shape[free], tone=rng.uniform(0.75, 1.15, int(free.sum())))


def add_greenhouses(draft: Draft, rects: Rects) -> None:
    """Add greenhouses of glass or film at rectangles (N, 5), which are no buildings."""
    rng = draft.rng
    rects = rects[draft.take_free(rects, np.arange(len(rects)))]
    n = len(rects)
    colour = vary((206, 214, 212), n, rng, 0.08) if rng.random() < 0.6 else vary((150, 168, 160), n, rng, 0.08)
    draft.add_structures(rects, rng.uniform(2.0, 3.5), rise=0.4, kind=GABLE, surface=PLAIN, colour=colour)


def add_fences(draft: Draft, lots: Rects, height_m: float | None = None) -> None:
    """Add fences, hedges or walls on one long and the rear border of most lots (N, 5), whose v axis points to the
    street. `height_m` makes walls; without it fences or hedges of drawn height."""
    rng = draft.rng
    n = len(lots)
    side = within(lots, lots[:, 2] / 2, -0.1 * lots[:, 3], 0.8 * lots[:, 3], 0.25, np.pi / 2)
    rear = within(lots, 0.0, -lots[:, 3] / 2, lots[:, 2], 0.25)
    borders = np.concatenate([side[rng.random(n) < 0.85], rear[rng.random(n) < 0.85]])
    if height_m is None and rng.random() < 0.4:
        borders[:, 3] = rng.uniform(0.6, 1.4)
        colour, height, material = vary((62, 80, 52), len(borders), rng), rng.uniform(1.0, 2.2), "shrub"
        colour[:, 3] = 150
    else:
        tone = (120, 104, 88) if height_m is None else (176, 162, 140)
        colour, height, material = vary(tone, len(borders), rng), height_m or rng.uniform(1.0, 1.9), "wood"
    draft.add_boxes(borders, height, colour, material)
