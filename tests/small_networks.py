"""Options that make every network that the toolbox lists small enough for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SmallNetwork:
    """How to build one network small, and what it takes.

    options : of `create_model`. bands : numbers of input bands that it is tried with. side_px : of images in training;
    one that the network's pyramid needs. fixed_size : it takes images of side_px alone. two_sensors : the last band is
    a sensor of its own. pads : it takes images of any size itself, not only within a segmenter.
    unused : names of parameters that the network's own library builds and does not use, that only reconstruct in training,
    or whose gradient is zero but for rounding, as a regular expression. num_classes : that it is tried with.
    """

    options: dict[str, Any] = field(default_factory=dict)
    bands: tuple[int, ...] = (1, 4, 103)
    side_px: int = 64
    fixed_size: bool = False
    two_sensors: bool = False
    pads: bool = False
    unused: str = "nothing"
    num_classes: int = 3

    def arguments(self, bands: int) -> dict[str, Any]:
        """Options for images of this number of bands."""
        return self.options | ({"streams": [bands - 1, 1]} if self.two_sensors else {})


TINY: dict[str, Any] = {"encoder": "tu-test_resnet"}  # timm's own for tests: the fewest layers, and narrow ones
NARROW: dict[str, Any] = TINY | {"decoder_channels": [32, 16, 16, 8, 8]}


def _fusion(**options: Any) -> SmallNetwork:
    """Bands of the first sensor: 1, 3 and 103."""
    return SmallNetwork(options, bands=(2, 4, 104), two_sensors=True, pads=True)


def _pair(unused: str = "nothing", num_classes: int = 3) -> SmallNetwork:
    """A convolutional network of two dates of 1, 4 and 103 bands."""
    return SmallNetwork(bands=(2, 8, 206), side_px=32, unused=unused, num_classes=num_classes)


def _cube(*bands: int, side_px: int = 4, unused: str = "nothing") -> SmallNetwork:
    """A network of hyperspectral cubes: the fewest bands that it takes, a few, and many."""
    return SmallNetwork(bands=bands, side_px=side_px, unused=unused)  # type: ignore[arg-type]


NETWORKS: dict[str, SmallNetwork] = {
    "change-encoder": SmallNetwork(TINY | {"decoder_channels": [16, 16, 8, 8, 8]}, bands=(2, 8, 206)),
    "changeformer": SmallNetwork({"width": 8}, bands=(2, 8, 206)),
    "conv-lstm": SmallNetwork({"widths": [4, 8]}, bands=(3, 6, 309), side_px=32),
    "d3net": SmallNetwork({"blocks": [1, 1, 1, 1], "growth": 8}, side_px=32),
    "damage-network": SmallNetwork({"decoder_channels": [16, 8, 8]}, bands=(2, 4, 206), unused=r"post_head\..*"),
    "deeplabv3": SmallNetwork(TINY | {"decoder_channels": 32}),
    "deeplabv3plus": SmallNetwork(TINY | {"decoder_channels": 32}),
    "dpt": SmallNetwork(
        {
            "encoder": "tu-test_vit",
            "decoder_fusion_channels": 16,
            "decoder_intermediate_channels": [8, 8, 8, 8],
        },
        side_px=160,
        fixed_size=True,
        unused=r"encoder\.model\.(norm|head)\..*",
    ),
    "dual-stream": _fusion(options={"width": 4}),
    "fc-ef": _pair(),
    "fc-siam-conc": _pair(),
    "fc-siam-diff": _pair(unused=r"encoder\.\d\.\d\.bias"),
    "fcn": SmallNetwork({"width": 4, "hidden": 8}, pads=True),
    "fpn": SmallNetwork(TINY | {"decoder_pyramid_channels": 32, "decoder_segmentation_channels": 64}),
    "from-to": _pair(num_classes=4),
    "frozen-images": SmallNetwork({"patch_px": 32, "stride_px": 16}, side_px=32, unused=r"encoder\..*"),
    "fresunet": _pair(),
    "fusenet": _fusion(width=4),
    "hrscd": _pair(unused=r"cover\.(decoder|encoder\.halves\.4).*"),
    "hyperspectral/behind-spectra": SmallNetwork(
        {
            "network": "hyperspectral/ssrn",
            "spectra": {"normalisations": ["snv"], "reduction": "pca", "components": 8},
            "options": {"patch_px": 5},
        },
        bands=(8, 12, 103),
        side_px=4,
    ),
    "hyperspectral/hybridsn": SmallNetwork({"patch_px": 11}, bands=(13, 15, 30), side_px=4),
    "hyperspectral/spectral-unet": SmallNetwork({"features": 8, "widths": [8, 12, 16]}, pads=True),
    "hyperspectral/spectralformer": SmallNetwork({"patch_px": 3}, side_px=4),
    "hyperspectral/ssrn": SmallNetwork({"patch_px": 5}, bands=(7, 12, 103), side_px=4),
    "hyperspectral/two-sensor": SmallNetwork(
        {"network": "hyperspectral/ssrn", "width": 8}, bands=(8, 12, 104), side_px=4, two_sensors=True
    ),
    "hyperspectral/boulch": _cube(4, 20, 103, unused=r"regressor\..*"),
    "hyperspectral/chen": _cube(94, 95, 96, side_px=2),
    "hyperspectral/hamida": _cube(3, 20, 103),
    "hyperspectral/he": _cube(17, 29, 103),
    "hyperspectral/hu": _cube(1, 20, 103),
    "hyperspectral/lee": _cube(1, 4, 103),
    "hyperspectral/li": _cube(5, 14, 103),
    "hyperspectral/liu": _cube(1, 4, 103, unused=r"decoder\..*|features\.0\.bias"),
    "hyperspectral/luo": _cube(42, 52, 61),
    "hyperspectral/mou": _cube(2, 20, 103),
    "hyperspectral/nn": _cube(1, 4, 103),
    "hyperspectral/sharma": _cube(1, 4, 103, unused=r"features\.[04]\.bias"),
    "image-classifier": SmallNetwork({"encoder": "test_resnet", "patch_px": 32, "stride_px": 16}, side_px=32),
    "blur-net": SmallNetwork({"width": 4}, pads=True),
    "light-unet": SmallNetwork({"decoder_channels": [16, 8, 8]}),
    "linknet": SmallNetwork(TINY),
    "manet": SmallNetwork({"encoder": "resnet18", "decoder_channels": [64] * 5}),
    "osmnet": SmallNetwork({"width": 4}, pads=True),
    "pan": SmallNetwork(TINY, side_px=128, unused=r"decoder\.fpa\.down\d\.\d\.conv\.bias"),
    "patch-alexnet": SmallNetwork({"patch_px": 40, "width": 2}, pads=True),
    "pspnet": SmallNetwork(TINY | {"psp_out_channels": 32}, unused=r"encoder\.model\.layer[34]\..*"),
    "residual-unet": SmallNetwork(side_px=32),
    "residual-correction": _fusion(options={"width": 4}),
    "segformer": SmallNetwork(TINY | {"decoder_segmentation_channels": 32}),
    "segnet": SmallNetwork({"width": 4, "deep_supervision": True}, pads=True),
    "smp-fusion": _fusion(encoder="resnet18", encoder_depth=3, decoder_channels=[16, 8, 8]),
    "snapnet-fusion": _fusion(options={"width": 2}),
    "snapnet-unet": SmallNetwork({"width": 4}, pads=True),
    "unet": SmallNetwork(NARROW),
    "unetplusplus": SmallNetwork(NARROW),
    "upernet": SmallNetwork(TINY | {"decoder_channels": 16}),
    "v-fusenet": _fusion(width=4),
    "wide-resnet-eca": SmallNetwork({"patch_px": 16, "stride_px": 8}, side_px=32),
}
