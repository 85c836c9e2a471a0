"""Large single buildings of old towns on their squares: churches, mosques, palaces around courtyards."""

from __future__ import annotations

import numpy as np

from deepnets4eo.synthetic.world.layouts.draft import Draft
from deepnets4eo.synthetic.world.layouts.rectangles import Rects, within
from deepnets4eo.synthetic.world.plan import CONE, DOME, FLAT, GABLE, HIP, PAVING_JOINTS, PLAIN


def add_landmark(draft: Draft, block: Rects) -> None:
    """Add a landmark to a block (1, 5)."""
    rng = draft.rng
    material = str(rng.choice(["concrete", "gravel", "soil"]))
    draft.add_area(block, material, pattern=PAVING_JOINTS, period_m=rng.uniform(2, 6), strength=rng.uniform(0, 0.4))
    length, width = float(block[0, 2]) - 4, float(block[0, 3]) - 4
    if min(length, width) < 14:
        return
    kind = rng.choice(["church", "mosque", "palace"])
    parts, kinds, eaves = {"church": _church, "mosque": _mosque, "palace": _palace}[str(kind)](
        draft, block, length, width
    )
    owner = np.zeros(len(parts), np.intp)
    if not draft.take_free(parts, owner)[0]:
        return
    looks = draft.palette.draw(1, rng).take(owner)
    looks.kind[:] = kinds
    round_tops = np.isin(kinds, (DOME, CONE))
    looks.surface[round_tops], looks.rise[round_tops] = PLAIN, rng.uniform(0.6, 1.0)
    if rng.random() < 0.6:
        looks.colour[round_tops] = np.array([[150, 170, 160, 150], [196, 190, 178, 190], [110, 130, 150, 120]])[
            rng.integers(3)
        ]
    draft.add_buildings(parts, owner, eaves, looks, parapet_m=np.where(np.array(kinds) == FLAT, 0.8, 0.0))


def _church(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """Nave, transept, tower and apse."""
    rng = draft.rng
    nave, across = min(length, rng.uniform(22, 60)), min(width / 2, rng.uniform(9, 20))
    eave, side = rng.uniform(8, 16), rng.choice([-1.0, 1.0])
    tower = across * rng.uniform(0.4, 0.6)
    parts = [
        within(block, 0.0, 0.0, nave, across),
        within(block, side * nave * 0.2, 0.0, min(width, across * 1.9), across * 0.8, np.pi / 2),
        within(block, -side * (nave - tower) / 2, 0.0, tower, tower),
        within(block, side * nave / 2 * 0.98, 0.0, across * 0.7, across * 0.7),
    ]
    kinds = [GABLE, GABLE, int(rng.choice([CONE, HIP, FLAT])), DOME]
    return np.concatenate(parts), kinds, [eave, eave, eave + rng.uniform(8, 20), eave * 0.8]


def _mosque(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """A hall with one large and some small domes, and minarets."""
    rng = draft.rng
    size = min(length, width, rng.uniform(16, 40))
    eave = rng.uniform(6, 12)
    parts, kinds, eaves = [within(block, 0.0, 0.0, size, size)], [FLAT], [eave]
    parts.append(within(block, 0.0, 0.0, 0.55 * size, 0.55 * size))
    kinds, eaves = [*kinds, DOME], [*eaves, eave + 1.5]
    for u, v in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        parts.append(within(block, u * 0.36 * size, v * 0.36 * size, 0.2 * size, 0.2 * size))
        kinds, eaves = [*kinds, DOME], [*eaves, eave + 0.5]
    for _ in range(int(rng.integers(1, 3))):
        u, v = rng.choice([-0.48, 0.48], 2) * size
        parts.append(within(block, u, v, 2.2, 2.2))
        kinds, eaves = [*kinds, CONE], [*eaves, eave + rng.uniform(12, 30)]
    return np.concatenate(parts), kinds, eaves


def _palace(draft: Draft, block: Rects, length: float, width: float) -> tuple[Rects, list[int], list[float]]:
    """Four wings around a courtyard, or three."""
    rng = draft.rng
    length, width = min(length, rng.uniform(26, 80)), min(width, rng.uniform(22, 60))
    depth = min(rng.uniform(7, 14), 0.38 * width)
    parts = [
        within(block, 0.0, (width - depth) / 2, length, depth),
        within(block, 0.0, -(width - depth) / 2, length, depth),
        within(block, (length - depth) / 2, 0.0, width, depth, np.pi / 2),
        within(block, -(length - depth) / 2, 0.0, width, depth, np.pi / 2),
    ][: int(rng.integers(3, 5))]
    kind = int(rng.choice([GABLE, HIP, FLAT]))
    return np.concatenate(parts), [kind] * len(parts), [rng.uniform(7, 18)] * len(parts)
