"""Dense networks of the toolbox's own: SegNet and its heads; fusion networks are built from the same parts."""

from deepnets4eo.lazy import lazy_names

__getattr__ = lazy_names(
    __name__,
    {
        ".heads": "DistanceHead MultiKernelHead signed_distance",
        ".wrong_labels": "HeteroscedasticHead",
        ".blocks": "NORM_FIRST Order SegNetDecoder SegNetEncoder conv_block he_init max_pool pad_to_stride",
        ".fcn": "FCN",
        ".segnet": "SegNet",
        "deepnets4eo.segmenters.networks": "last_layer replace_last_layer",
        ".weights": "load_encoder",
        ".notebook": "load_notebook notebook_segmenter",
        "deepnets4eo.segmenters.pretrained": "read_tensors",
    },
)
