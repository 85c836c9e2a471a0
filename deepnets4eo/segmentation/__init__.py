"""Dense networks of the toolbox's own: SegNet and its heads; fusion networks are built from the same parts."""

from typing import TYPE_CHECKING

from deepnets4eo.lazy import lazy_names

if TYPE_CHECKING:
    from deepnets4eo.segmenters.networks import last_layer as last_layer, replace_last_layer as replace_last_layer
    from deepnets4eo.segmenters.pretrained import read_tensors as read_tensors

    from .blocks import (
        NORM_FIRST as NORM_FIRST,
        Order as Order,
        SegNetDecoder as SegNetDecoder,
        SegNetEncoder as SegNetEncoder,
        conv_block as conv_block,
        he_init as he_init,
        max_pool as max_pool,
        pad_to_stride as pad_to_stride,
    )
    from .fcn import FCN as FCN
    from .heads import (
        DistanceHead as DistanceHead,
        MultiKernelHead as MultiKernelHead,
        signed_distance as signed_distance,
    )
    from .notebook import load_notebook as load_notebook, notebook_segmenter as notebook_segmenter
    from .segnet import SegNet as SegNet
    from .weights import load_encoder as load_encoder
    from .wrong_labels import HeteroscedasticHead as HeteroscedasticHead
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        public={
            "deepnets4eo.segmenters.networks": ["last_layer", "replace_last_layer"],
            "deepnets4eo.segmenters.pretrained": ["read_tensors"],
            ".blocks": [
                "NORM_FIRST",
                "Order",
                "SegNetDecoder",
                "SegNetEncoder",
                "conv_block",
                "he_init",
                "max_pool",
                "pad_to_stride",
            ],
            ".fcn": ["FCN"],
            ".heads": ["DistanceHead", "MultiKernelHead", "signed_distance"],
            ".notebook": ["load_notebook", "notebook_segmenter"],
            ".segnet": ["SegNet"],
            ".weights": ["load_encoder"],
            ".wrong_labels": ["HeteroscedasticHead"],
        },
    )
