"""A small plan with a bit of everything, for tests of painting and seeing."""

import numpy as np
from world import plan as p

from deepnets4eo.synthetic.materials import CODE


def small_plan(extent_m: float, seed: int = 0) -> p.Plan:
    """Streets every 40 m with houses of all roofs and surfaces, trees, cars, a pond and a field."""
    rng = np.random.default_rng(seed)
    count = int(extent_m // 20)
    buildings, roofs, trees, boxes, areas = [], [], [], [], []
    middle = extent_m / 2
    areas.append(
        (
            middle,
            middle * 0.2,
            extent_m,
            extent_m * 0.3,
            0.2,
            p.RECTANGLE,
            CODE["crop"],
            p.CROP_ROWS,
            2.5,
            0.6,
            0.1,
            1.0,
            p.BOTH,
        )
    )
    areas.append(
        (extent_m * 0.8, extent_m * 0.8, 40, 25, 0.5, p.ELLIPSE, CODE["water"], p.NO_ROWS, 1, 0, 0.6, 1.0, p.BOTH)
    )
    for line in range(count // 2 + 1):
        areas.append(
            (middle, 40 * line, extent_m * 1.1, 7, 0, p.RECTANGLE, CODE["asphalt"], p.NO_ROWS, 1, 0, 0.05, 1.0, p.BOTH)
        )
    for i in range(count):
        for j in range(1, count):
            x, y = 20 * i + 10 + rng.normal(0, 1), 20 * j + 10 + (3 if j % 2 else -3)
            if np.hypot(x - extent_m * 0.8, y - extent_m * 0.8) < 30 or rng.random() < 0.12:
                continue
            angle, length, width = rng.normal(0, 0.05), rng.uniform(9, 16), rng.uniform(7, 10)
            eave = 3.0 if rng.random() < 0.9 else 24.0
            kind, surface = int(rng.integers(7)) if eave < 10 else p.FLAT, int(rng.integers(7))
            colour = np.append(rng.uniform(80, 190) * np.array([1, rng.uniform(0.75, 1), rng.uniform(0.65, 1)]), 110)
            buildings.append((x, y, 10, eave, 1, p.WOOD, rng.integers(1 << 30), p.BOTH))
            roofs.append(
                (
                    x,
                    y,
                    length,
                    width,
                    angle,
                    eave,
                    0.45,
                    kind,
                    surface,
                    1.0,
                    0.6 * (kind == 0),
                    colour,
                    len(buildings) - 1,
                    p.BOTH,
                )
            )
            if rng.random() < 0.4 and kind == p.GABLE:
                roofs.append(
                    (
                        x,
                        y + 4,
                        9,
                        6,
                        angle + 1.57,
                        eave,
                        0.45,
                        p.GABLE,
                        surface,
                        1.0,
                        0,
                        colour,
                        len(buildings) - 1,
                        p.BOTH,
                    )
                )
            boxes.append(
                (x + 6, 40 * round(y / 40) + 2, 4.4, 1.8, 0, 1.5, 0, CODE["car"], rng.uniform(40, 220, 4), p.BOTH)
            )
            if kind == p.FLAT:
                boxes.append((x, y, 1.6, 1.6, 0, 1.4, 1, CODE["concrete"], (60, 60, 62, 60), p.BOTH))
            for _ in range(3):
                trees.append(
                    (
                        x + rng.uniform(-10, 10),
                        y + rng.uniform(-10, 10),
                        rng.uniform(1.5, 5),
                        rng.uniform(3, 12),
                        rng.integers(4),
                        1.0,
                        p.BOTH,
                    )
                )
    return p.Plan(
        (extent_m, extent_m), CODE["grass"], CODE["soil"], 0.08, 1.5,
        buildings=p.make_rows("buildings", buildings), roofs=p.make_rows("roofs", roofs), boxes=p.make_rows("boxes", boxes),
        areas=p.make_rows("areas", areas), trees=p.make_rows("trees", trees),
    )  # fmt: skip
