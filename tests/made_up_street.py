"""A made-up street as a classified point cloud."""

import numpy as np

from deepnets4eo.points import PointCloud


def make_street(seed: int = 0) -> PointCloud:
    """40 m × 40 m of sloping ground with a house, a tree, a hedge and a car, classified with codes of ASPRS."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 40, (2, 12_000))
    terrain = 50 + 0.05 * x
    house = (x > 5) & (x < 15) & (y > 5) & (y < 20)
    crown = (x - 28) ** 2 + (y - 12) ** 2 < 16
    hedge = (abs(y - 30) < 1) & (x > 5) & (x < 20)
    car = (abs(x - 30) < 2) & (abs(y - 30) < 1)
    above = np.select(
        [house, crown, hedge, car],
        [6 + 0.3 * abs(x - 10), rng.uniform(3, 9, len(x)), rng.uniform(0.3, 1.4, len(x)), 1.4], rng.normal(0, 0.02, len(x)),
    )  # fmt: skip
    codes = np.select([house, crown, hedge & (above < 0.5), hedge, car], [6, 5, 3, 4, 1], 2)
    pulses = np.where(crown, 3, 1)
    return PointCloud(
        np.column_stack([x, y, terrain + above]), classification=codes.astype(np.uint8),
        return_number=np.minimum(rng.integers(1, 4, len(x)), pulses).astype(np.uint8), number_of_returns=pulses.astype(np.uint8),
    )  # fmt: skip
