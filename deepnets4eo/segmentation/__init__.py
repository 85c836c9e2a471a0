"""Dense networks of the toolbox's own: SegNet and its heads; the parts are public, fusion networks are made of them."""

from deepnets4eo.lazy import lazy_names

_HOMES = {
    "Augmented": "deepnets4eo.segmentation.views",
    "DistanceHead": "deepnets4eo.segmentation.distance_head",
    "Ensemble": "deepnets4eo.segmentation.ensemble",
    "MultiKernelHead": "deepnets4eo.segmentation.multi_kernel",
    "ObjectClassifier": "deepnets4eo.segmentation.object_classifier",
    "ObjectRules": "deepnets4eo.segmentation.objects",
    "ObjectView": "deepnets4eo.segmentation.object_classifier",
    "SegNet": "deepnets4eo.segmentation.segnet",
    "SegNetDecoder": "deepnets4eo.segmentation.segnet",
    "SegNetEncoder": "deepnets4eo.segmentation.segnet",
    "VEDAI_TYPES": "deepnets4eo.segmentation.object_classifier",
    "conv_block": "deepnets4eo.segmentation.blocks",
    "count_in": "deepnets4eo.segmentation.density",
    "density_grid": "deepnets4eo.segmentation.density",
    "density_map": "deepnets4eo.segmentation.density",
    "extract_objects": "deepnets4eo.segmentation.objects",
    "he_init": "deepnets4eo.segmentation.blocks",
    "last_layer": "deepnets4eo.segmentation.score_layer",
    "load_encoder": "deepnets4eo.segmentation.vgg",
    "max_pool": "deepnets4eo.segmentation.blocks",
    "max_unpool": "deepnets4eo.segmentation.blocks",
    "pad_to_stride": "deepnets4eo.segmentation.blocks",
    "replace_last_layer": "deepnets4eo.segmentation.score_layer",
    "signed_distance": "deepnets4eo.segmentation.distance",
    "voting_run": "deepnets4eo.segmentation.voting",
    "upright_patches": "deepnets4eo.segmentation.object_patches",
    "write_density_map": "deepnets4eo.segmentation.density",
}

__all__ = list(_HOMES)


__getattr__ = lazy_names(__name__, _HOMES)
