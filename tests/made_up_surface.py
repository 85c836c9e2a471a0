"""Small surfaces for the tests of views: a few triangles with made-up attributes, and a hilly cloud with a house."""

import numpy as np

from deepnets4eo.points import PointCloud
from deepnets4eo.points.views import Surface


def triangles(*corners: tuple[tuple[float, float, float], ...], **attributes) -> Surface:
    """A surface of separate triangles, each of three points (x, y, z) of its own."""
    vertices = np.array(corners, np.float32).reshape(-1, 3)
    count = len(vertices)
    values = {
        "origin": np.zeros(3),
        "vertices": vertices,
        "faces": np.arange(count, dtype=np.int32).reshape(-1, 3),
        "point_index": np.arange(count),
        "verticality": np.zeros(count, np.float32),
        "noise": np.zeros(count, np.float32),
        "height_m": np.zeros(count, np.float32),
    }
    return Surface(**(values | attributes))


def hill_with_house(points: int = 20_000, seed: int = 0) -> PointCloud:
    """Classified points (2 ground, 6 house) of a slope of 60 x 40 m with a house 6 m high, on a national grid."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform((0, 0), (60, 40), (points, 2))
    house = (np.abs(xy - (30, 20)) < (8, 6)).all(axis=1)
    z = 0.05 * xy[:, 0] + 6.0 * house + rng.normal(0, 0.02, points)
    return PointCloud(
        np.column_stack([xy, z]) + (651_000, 6_861_000, 35),
        colour=np.where(house[:, None], np.uint8((200, 60, 50)), np.uint8((90, 130, 70))),
        intensity=rng.uniform(0, 4000, points).astype(np.float32),
        classification=np.where(house, 6, 2).astype(np.uint8),
        source="hill.laz",
    )
