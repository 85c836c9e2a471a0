"""Whole images with one label or several: readers, networks, scores, and learning from few labels."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".images": "ImageList",
        ".labelling": "classify_images embed_images find_wrong_images label_images",
        ".embeddings": "interpolate_weights measure_gap recall_at",
        ".readers": "list_images",
        ".scores": "score_images",
        ".words": "ImageTextModel classify_by_words label_by_words open_image_text_model",
    },
)
