"""Describes files, datasets and runs, and their problems: the verb `check`."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".files": "Inspection inspect"})
