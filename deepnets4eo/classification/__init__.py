"""Whole images with one label or several: readers, networks, scores, and learning from few labels."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "BAND_ORDERS": "deepnets4eo.classification.bands",
    "ImageList": "deepnets4eo.classification.images",
    "check_band_order": "deepnets4eo.classification.bands",
    "classify_images": "deepnets4eo.classification.training",
    "draw_labelled": "deepnets4eo.classification.images",
    "list_images": "deepnets4eo.classification.readers",
    "score_images": "deepnets4eo.classification.scores",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
