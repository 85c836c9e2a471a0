"""Whole images with one label or several: readers, networks, scores, and learning from few labels."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "ImageList": "deepnets4eo.classification.images",
    "classify_images": "deepnets4eo.classification.labelling",
    "embed_images": "deepnets4eo.classification.labelling",
    "find_wrong_images": "deepnets4eo.classification.labelling",
    "interpolate_weights": "deepnets4eo.classification.embeddings",
    "label_images": "deepnets4eo.classification.labelling",
    "list_images": "deepnets4eo.classification.readers",
    "measure_gap": "deepnets4eo.classification.embeddings",
    "recall_at": "deepnets4eo.classification.embeddings",
    "score_images": "deepnets4eo.classification.scores",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
