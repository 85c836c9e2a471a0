"""Files of points: one way in for LAS, LAZ, COPC, PLY and text; labelled LAS and LAZ out."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(__name__, {".opening": "CLOUD_SUFFIXES open_cloud", ".cloud_file": "CloudFile"})
