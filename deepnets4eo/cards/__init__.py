"""Legends, palettes and dataset cards, read from YAML, and the catalog of those that come with the toolbox."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "DatasetCard": "deepnets4eo.cards.dataset_card",
    "Legend": "deepnets4eo.cards.legend",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
