"""Files of points: one way in for LAS, LAZ, COPC, PLY and text; labelled LAS and LAZ out."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "CLOUD_SUFFIXES": "deepnets4eo.points.files.opening",
    "CloudFile": "deepnets4eo.points.files.cloud_file",
    "open_cloud": "deepnets4eo.points.files.opening",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
