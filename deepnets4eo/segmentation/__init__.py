"""Dense networks of the toolbox's own: SegNet and its heads; fusion networks are built from the same parts."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "DistanceHead": "deepnets4eo.segmentation.heads",
    "HeteroscedasticHead": "deepnets4eo.segmentation.wrong_labels",
    "MultiKernelHead": "deepnets4eo.segmentation.heads",
    "NORM_FIRST": "deepnets4eo.segmentation.blocks",
    "Order": "deepnets4eo.segmentation.blocks",
    "SegNet": "deepnets4eo.segmentation.segnet",
    "SegNetDecoder": "deepnets4eo.segmentation.blocks",
    "SegNetEncoder": "deepnets4eo.segmentation.blocks",
    "conv_block": "deepnets4eo.segmentation.blocks",
    "he_init": "deepnets4eo.segmentation.blocks",
    "last_layer": "deepnets4eo.segmenters.networks",
    "load_encoder": "deepnets4eo.segmentation.weights",
    "load_notebook": "deepnets4eo.segmentation.notebook",
    "max_pool": "deepnets4eo.segmentation.blocks",
    "notebook_segmenter": "deepnets4eo.segmentation.notebook",
    "pad_to_stride": "deepnets4eo.segmentation.blocks",
    "read_tensors": "deepnets4eo.segmenters.pretrained",
    "replace_last_layer": "deepnets4eo.segmenters.networks",
    "signed_distance": "deepnets4eo.segmentation.heads",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
