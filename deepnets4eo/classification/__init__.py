"""Whole images with one label or several: readers, networks, scores, and learning from few labels."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from .embeddings import (
        interpolate_weights as interpolate_weights,
        measure_gap as measure_gap,
        recall_at as recall_at,
    )
    from .images import ImageList as ImageList
    from .inspection import inspect_images
    from .labelling import (
        classify_images as classify_images,
        embed_images as embed_images,
        find_wrong_images as find_wrong_images,
        label_images as label_images,
    )
    from .readers import list_images as list_images
    from .scores import score_images as score_images
    from .words import (
        ImageTextModel as ImageTextModel,
        classify_by_words as classify_by_words,
        label_by_words as label_by_words,
        open_image_text_model as open_image_text_model,
    )
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            ".embeddings": ["interpolate_weights", "measure_gap", "recall_at"],
            ".images": ["ImageList"],
            ".labelling": ["classify_images", "embed_images", "find_wrong_images", "label_images"],
            ".readers": ["list_images"],
            ".scores": ["score_images"],
            ".words": ["ImageTextModel", "classify_by_words", "label_by_words", "open_image_text_model"],
        },
        internal={
            ".inspection": ["inspect_images"],
        },
    )
