"""Describes files, datasets and runs, and their problems: the verb `check`."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Inspection": "deepnets4eo.inspection.files",
    "inspect": "deepnets4eo.inspection.files",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
