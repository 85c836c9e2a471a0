"""Transformers of others, built in the sizes that a file of weights has: DINOv3, OlmoEarth, TerraMind, Copernicus-FM, DOFA, Galileo and Presto.

Takes a safetensors file; returns sizes as a plain mapping for the card of a run, from which the network is built without the file. Refuses other files.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deepnets4eo.errors import InputError, Reading
from deepnets4eo.segmenters.by_wavelength import generated_patch_px
from deepnets4eo.segmenters.dated_encoders import GALILEO, PRESTO, DatedEncoder, DatedTensors
from deepnets4eo.segmenters.olmoearth import GroupedPatches, is_olmoearth
from deepnets4eo.segmenters.pretrained import load_pretrained, read_tensors
from deepnets4eo.segmenters.terramind import sensor_patch_px

BLOCK = re.compile(r"(.*?)(?:blocks|encoder|layer)\.(\d+)\.norm1\.weight")
FIRST_LAYERS = ("mlp.fc1.weight", "mlp.up_proj.weight")
REGISTERS = ("storage_tokens", "register_tokens")
OTHERS = (
    "decoder.",
    "predictor.",
    "target_",
    "target_encoder.",
)  # what stands before blocks that are not the encoder's
DINOV3, OLMOEARTH, TERRAMIND, BY_WAVELENGTH = "dinov3", "olmoearth", "terramind", "by-wavelength"
GATED_DINO = ("mlp.w1.weight", "mlp.gate_proj.weight")
HEAD_WIDTH = 64  # of all published sizes, but for these
HEADS = {128: 8, 4096: 32}  # width → heads: OlmoEarth nano, DINOv3 7B
MAX_PATCH_PX = 64  # of published sizes 32
DAMAGED = "Is it whole, with all tensors in their published shapes? Fetch or save it again."
KINDS = "DINOv3, OlmoEarth 1.0, TerraMind 1.0, Copernicus-FM, DOFA, Galileo, Presto"


@dataclass(frozen=True)
class TransformerSizes:
    """The transformer of a file of weights, as the card of a run keeps it.

    kind : which network it is
    width, depth, heads, hidden : of tokens, blocks, attention, and the layer within each block
    patch_px : side of a patch
    gated : whether blocks are gated
    groups : tokens a patch, one for each group of bands
    pooled_norm : whether the mean of tokens is normalised, in place of the tokens
    ndvi : whether a group is the vegetation index, which the network computes of the bands
    """

    kind: str
    width: int
    depth: int
    heads: int
    hidden: int
    patch_px: int
    gated: bool = False
    groups: int = 1
    pooled_norm: bool = False
    ndvi: bool = False

    @classmethod
    @Reading.of_source(DAMAGED)
    def of_file(cls, path: str | Path, bands: Sequence[str]) -> TransformerSizes:
        """Read the sizes of the transformer in a file that shall see these bands.

        Errors: InputError for a file that cannot be read, and for networks of other kinds.
        """
        tensors = read_tensors(path)
        if (dated := DatedTensors.of(tensors, bands)) is not None:
            return cls._of_dated(dated, path)
        kind = _kind(path, tensors)
        blocks: dict[str, dict[int, str]] = {}
        for name in tensors:
            if (match := BLOCK.fullmatch(name)) and not match[1].endswith(OTHERS):
                blocks.setdefault(name[: match.start(2)], {})[int(match[2])] = name
        root, norms = max(blocks.items(), key=lambda item: len(item[1]), default=("", {}))
        hidden = next((tensors[f"{root}0.{name}"] for name in FIRST_LAYERS if f"{root}0.{name}" in tensors), None)
        if gated := [name for name in tensors if name.endswith(GATED_DINO)]:
            raise InputError(
                f"{path} is of {kind} with gated blocks ({gated[0]}). Take ViT-S, ViT-B or ViT-L of DINOv3."
            )
        if hidden is None:
            raise InputError(f"{path} is of {kind}, but has no blocks. Save all tensors of the file.")
        width = len(tensors[norms[0]])
        pooled = any(name.endswith("fc_norm.weight") for name in tensors)
        gates = f"{root}0.mlp.fc3.weight" in tensors
        patches = GroupedPatches(tensors, bands) if kind == OLMOEARTH else None
        patch_px = patches.patches()[0].shape[-1] if patches else _patch_px(tensors)
        groups = len(patches.groups) if patches else 1
        heads = HEADS.get(width, max(width // HEAD_WIDTH, 1))
        return cls(kind, width, len(norms), heads, len(hidden), patch_px, gates, groups, pooled)._checked(path)

    @classmethod
    def _of_dated(cls, file: DatedTensors, path: str | Path) -> TransformerSizes:
        heads = HEADS.get(file.width, max(file.width // HEAD_WIDTH, 1))
        groups, ndvi = len(file.groups), file.pair is not None
        return cls(
            file.kind, file.width, file.depth, heads, file.hidden, file.patch_px, groups=groups, ndvi=ndvi
        )._checked(path)

    def _checked(self, path: str | Path) -> TransformerSizes:
        """Return the sizes unless no encoder has such sizes; else InputError."""
        sides = 1 <= self.patch_px <= MAX_PATCH_PX and min(self.width, self.hidden) >= 1
        if not sides or self.width % self.heads:
            raise InputError(f"{path} is of {self.kind} with sizes that no encoder has: {self.to_dict()}. {DAMAGED}")
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the sizes as a plain mapping."""
        return asdict(self)

    @property
    def sees_all_bands(self) -> bool:
        """Return whether the file may have weights for other bands than red, green and blue."""
        return self.kind != DINOV3

    @property
    def is_dated(self) -> bool:
        """Return whether the encoder knows the month of an image, and the published values of its bands."""
        return self.kind in (GALILEO, PRESTO)

    def build(self, in_channels: int, image_px: int) -> Any:
        """Build the transformer, (N, in_channels, image_px, image_px) → (N, width), means of its patches' tokens.

        Errors: InputError for images that its patches do not fill.
        """
        from timm.layers import SwiGLU
        from timm.models.eva import Eva
        from timm.models.vision_transformer import VisionTransformer

        if image_px % self.patch_px:
            raise InputError(
                f"images of {image_px} px cannot be cut into the encoder's patches of {self.patch_px} px. Enlarge them: "
                f"model.options.input_px={-(-image_px // self.patch_px) * self.patch_px}."
            )
        if self.is_dated:
            return DatedEncoder(
                self.kind, in_channels, groups=self.groups, width=self.width, depth=self.depth, heads=self.heads, hidden=self.hidden,
                patch_px=self.patch_px, ndvi=self.ndvi,
            )  # fmt: skip
        common: dict[str, Any] = {
            "img_size": image_px, "patch_size": self.patch_px, "in_chans": in_channels, "num_classes": 0, "global_pool": "avg",
            "embed_dim": self.width, "depth": self.depth, "num_heads": self.heads, "mlp_ratio": (self.hidden + 0.5) / self.width,
        }  # fmt: skip
        if self.kind == DINOV3:
            return Eva(
                **common, qkv_bias=True, init_values=1e-5, rope_type="dinov3", rope_temperature=100.0, rope_rotate_half=True,
                use_rot_pos_emb=True, use_abs_pos_emb=False, num_reg_tokens=4, use_fc_norm=False, dynamic_img_size=True,
                norm_layer=partial(nn.LayerNorm, eps=1e-5),
            )  # fmt: skip
        if self.kind == OLMOEARTH:
            common |= {"embed_layer": partial(_TokensOfGroups, groups=self.groups), "norm_layer": nn.LayerNorm}
        if self.gated:
            common |= {"mlp_layer": SwiGLU, "act_layer": nn.SiLU}
        return VisionTransformer(
            **common, class_token=self.kind == BY_WAVELENGTH, fc_norm=self.pooled_norm, qkv_bias=True
        )

    @staticmethod
    def load(network: Any, path: str | Path, bands: Sequence[str], step_px: float) -> None:
        """Load the file into the transformer; step_px : from patch to patch, before images are enlarged.

        Errors: InputError if a weight stays random.
        """
        if isinstance(network, DatedEncoder):
            with Reading(path, DAMAGED):
                dated = DatedTensors.of(read_tensors(path), bands)
                network.load_state_dict({} if dated is None else dated.state(step_px))
            return
        network.step_px = step_px
        with Reading(path, DAMAGED):
            report = load_pretrained(network, path, bands=bands)
        if report.missing:
            raise InputError(
                f"{path} has no weights {', '.join(report.missing[:3])} for the bands {', '.join(bands)}. Leave out bands that the encoder does "
                "not know (data.bands=[B02, B03, B04]), or save all tensors of the file."
            )


def _kind(path: str | Path, tensors: Mapping[str, Tensor]) -> str:
    """Return what a file has, by names that only this kind has. Errors: InputError."""
    positions = any(name.endswith(("pos_embed", "position_embeddings")) for name in tensors)
    if is_olmoearth([*tensors]):
        return OLMOEARTH
    if sensor_patch_px(tensors) is not None:
        return TERRAMIND
    if generated_patch_px(tensors) is not None:
        return BY_WAVELENGTH
    if any(name.endswith(REGISTERS) for name in tensors) and not positions:
        return DINOV3
    listed = ", ".join(sorted(tensors)[:3])
    raise InputError(
        f"encoder={str(path)} has {len(tensors)} tensors ({listed} …), which are of none of {KINDS}. Name their network: "
        f"model.network=image-classifier model.encoder=NAME model.encoder_weights={path}, NAME of timm.list_models()."
    )


def _patch_px(tensors: Mapping[str, Tensor]) -> int:
    """Side of the patches of a file, in pixels."""
    side = sensor_patch_px(tensors) or generated_patch_px(tensors)
    return side or int(
        next(value.shape[-1] for name, value in tensors.items() if "patch_embed" in name and value.ndim == 4)
    )


class _TokensOfGroups(nn.Module):
    """Tokens (N, G × P, D) of an image, group of bands by group of bands."""

    def __init__(self, *, groups: int, **sizes: Any) -> None:
        super().__init__()
        side, width = sizes["patch_size"], sizes["embed_dim"]
        self.groups = groups
        self.proj = nn.Conv2d(sizes["in_chans"], groups * width, side, side)
        self.num_patches = groups * (sizes["img_size"] // side) ** 2

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H, W) → (N, G × P, D)"""
        maps = self.proj(images)
        return maps.unflatten(1, (self.groups, -1)).flatten(3).transpose(2, 3).flatten(1, 2)
