"""Legends, palettes and dataset cards, read from YAML, and the catalog of those that come with the toolbox."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".dataset_card": "DatasetCard", ".legend": "Legend"})
