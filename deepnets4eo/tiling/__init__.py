"""Windows: tiles for prediction, samples for training, blocks for splits, a few spread evenly to measure by."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Lattice": "deepnets4eo.tiling.lattice",
    "SCORES": "deepnets4eo.tiling.lattice",
    "Scores": "deepnets4eo.tiling.lattice",
    "Tile": "deepnets4eo.tiling.lattice",
    "Tiling": "deepnets4eo.tiling.lattice",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
