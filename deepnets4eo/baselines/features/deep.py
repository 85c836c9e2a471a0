"""Deep features: a frozen encoder applied to colours, height and normals, densely or patch by patch, at several scales.

The modern form of ImageNet features + SVM (Lagrange et al., IGARSS 2015: 231 px patches at step 32; JURSE 2017: three
scales)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from deepnets4eo.arrays import FloatImage, Indices
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.hog import region_centres
from deepnets4eo.device import Compute
from deepnets4eo.errors import InputError, RunError
from deepnets4eo.files import atomic_write
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import Section, options_from
from deepnets4eo.rasters import COLOURS, role_indices

if TYPE_CHECKING:
    from torch import Tensor

    from deepnets4eo.baselines.features.encoders import FrozenEncoder

Inputs = Literal["rgb", "rgbd", "rgbd+"]
IMAGE_KINDS: dict[str, tuple[str, ...]] = {
    "rgb": ("colours",),
    "rgbd": ("colours", "height"),
    "rgbd+": ("colours", "height", "normals"),
}
HEIGHT_SPAN_M = (0.0, 50.0)  # where bands have no span
NORMALS_REACH_PX = 1
Looks = Literal["dense", "patch"]
Scale = Annotated[float, Field(gt=0, le=8)]
REACH_CAP_PX = 96  # of the resized image: pixels farther away have little weight, and would make halos of 200 pixels
DENSE_REDUCTION = 16
BATCH = 16  # patches in each pass of the encoder; other batches may change the last bits
CHUNK = 256  # superpixels at once
PROJECTION = "projection"


def encoder_images(bands: Bands, encoder: FrozenEncoder, inputs: Inputs) -> FloatImage:
    """Return the images that an encoder receives, (M, 3, h, w) float32 in the encoder's scaling: colours, height, normals.
    Raises InputError if no band is a height."""
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (encoder.mean, encoder.std))
    makers = {"colours": _colours, "height": _height, "normals": _normals}
    return np.stack([(makers[name](bands) - mean) / std for name in IMAGE_KINDS[inputs]])


def _colours(bands: Bands) -> FloatImage:
    """Return red, green, blue scaled to 0–1; near infrared, red, green if there is no blue; else grey."""
    for roles in (COLOURS, ("nir", "red", "green")):
        if bands.has(*roles):
            return bands.unit(*roles)
    return np.broadcast_to(bands.grey(), (3, *bands.shape))


def _height(bands: Bands) -> FloatImage:
    """Return 0–1 over the span in training; above ground where a band is that."""
    role = _height_role(bands)
    low, high = HEIGHT_SPAN_M if bands.span is None else bands.span[role_indices(bands.names).get(role, 0)]
    scaled = np.clip((bands.pick(role) - low) / np.float32(max(high - low, 1e-3)), 0, 1)
    return np.broadcast_to(scaled, (3, *bands.shape))


def _normals(bands: Bands) -> FloatImage:
    """Return normals of the surface (east, south, up), from −1…1 to 0–1; in metres where the size of a pixel is known."""
    (height,) = bands.pick(_height_role(bands))
    down, right = (np.gradient(height, axis=axis) / np.float32(bands.gsd_m or 1.0) for axis in (0, 1))
    length = np.sqrt(right * right + down * down + 1)
    return np.asarray(np.stack([-right / length, -down / length, 1 / length]) / 2 + 0.5, np.float32)


def _height_role(bands: Bands) -> str:
    return "ndsm" if bands.has("ndsm") else "height"


class DeepOptions(Section):
    """Options of deep features: the frozen encoder, its inputs, and how it is applied."""

    encoder: str | None = Field(default=None, description="a name of timm, e.g. resnet18, or efficientnet-lite0")
    weights: str | Path | None = Field(
        default=None,
        description="efficientnet-lite0: in the box; a safetensors file; or imagenet: downloaded; none: random",
    )
    inputs: Inputs = Field(default="rgb", description="d: the height, too; +: its normals, too")
    scales: tuple[Scale, ...] = Field(default=(1.0,), min_length=1, description="factors by which tiles are resized")
    patch_px: int | None = Field(default=None, ge=1, description="averaged over a patch around each site")
    looks: Looks = Field(default="dense", description="dense: one pass over a tile for all sites")
    step_px: int = Field(default=16, ge=1, description="patch: sites nearer than this share a patch")
    input_px: int | None = Field(default=None, ge=1, description="patch: resized to this side first")
    reduction: int | None = Field(default=None, description="level of the encoder by pixels a cell; none: 16")
    components: int | None = Field(default=None, ge=1, description="columns a image and scale; none: all")

    @model_validator(mode="after")
    def _patches_where_needed(self) -> DeepOptions:
        if self.encoder is None:  # a recipe without deep features
            return self
        if self.looks == "patch" and not self.patch_px:
            raise ValueError(
                "has looks=patch, which needs the side of a patch. Set patch_px (231 in the benchmark of 2015)"
            )
        if self.looks == "dense" and self.input_px:
            raise ValueError(
                "has input_px, which resizes patches, with looks=dense, which has none. Set scales instead"
            )
        return self


@dataclass(eq=False)
class DeepFeatures:
    """Features of a frozen encoder at sites or superpixels. `DeepOptions` explains the options.

    Errors: InputError for values that do not fit.

    "dense" is one pass over the image. "patch" processes each patch by itself, as published, and is far slower.

    In the core of a tile, dense values differ from the values of the whole image because pixels beyond the halo are
    missing; patch values do not differ.

    Memory: 4 F bytes per site, and the maps of one scale.
    """

    encoder: str = "resnet18"
    weights: str | Path | None = None
    inputs: Inputs = "rgb"
    scales: Sequence[float] = (1.0,)
    patch_px: int | None = None
    looks: Looks = "dense"
    step_px: int = 16
    input_px: int | None = None
    reduction: int | None = None
    components: int | None = None
    seed: int = 0
    name: str = "deep"

    kind: ClassVar[str] = "deep"

    @name_missing_extra()
    def __post_init__(self) -> None:
        from deepnets4eo.baselines.features.encoders import FrozenEncoder

        options = {option: getattr(self, option) for option in DeepOptions.model_fields}
        options_from(DeepOptions, options, "deep features")
        self.scales = tuple(float(scale) for scale in self.scales)
        level = DENSE_REDUCTION if self.reduction is None and self.looks == "dense" else self.reduction
        self._encoder: FrozenEncoder = FrozenEncoder(self.encoder, level, weights=self.weights, seed=self.seed)
        self.reduction = self._encoder.reduction
        self._projection = _projection(self.components, self._encoder.channels, self.seed)

    @property
    def halo_px(self) -> int:
        """Return the halo in pixels around a site that affects its value, in whole cells or steps, so that tiles are in phase with the scene."""
        farthest = min(self.scales)
        if self.looks == "patch":
            patch = max(self._footprints) // 2 + NORMALS_REACH_PX + self.step_px // 2
            return _round_up(patch, self.step_px)
        reach = min(self._encoder.reach_px, REACH_CAP_PX) + (self.patch_px or 0) / 2
        return _round_up(reach / farthest, self._encoder.reduction / farthest)

    @property
    def width(self) -> int:
        """Columns of one image at one scale."""
        return self.components or self._encoder.channels

    def columns(self, bands: Bands) -> list[str]:
        """Return the names of the columns, "kind@scale.number". Errors: InputError where a height is needed and missing."""
        if self.inputs != "rgb" and not bands.has("ndsm"):
            bands.pick("height")
        return [
            f"{kind}@{scale:g}.{number}"
            for scale in self.scales
            for kind in IMAGE_KINDS[self.inputs]
            for number in range(self.width)
        ]

    def compute(self, bands: Bands, stride_px: int = 1) -> FloatImage:
        """Return values at the sites, (F, number of sites down, number of sites across) float32."""
        rows, cols = (np.arange(stride_px // 2, side, stride_px) for side in bands.shape)
        if self.looks == "dense":
            return np.concatenate(list(self._dense(bands, rows, cols)))
        if stride_px >= self.step_px:
            return self._at_patches(bands, rows, cols)
        step = self.step_px
        down, across = (np.arange(-(-side // step)) * step + step // 2 for side in bands.shape)
        return self._at_patches(bands, down, across)[:, rows[:, None] // step, cols // step]

    def pool(self, bands: Bands, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return values of superpixels `ids` (h, w), (count, F) float32: of the patch around their centre, or dense
        means. Superpixels without pixels get the value at the corner, or 0."""
        if self.looks == "dense" and self.patch_px is None:
            return np.concatenate([self._means(maps, scale, ids, count) for scale, maps in self._maps(bands)], axis=1)
        rows, cols = region_centres(ids, count, 1)
        if self.looks == "patch":
            return self.at_indices(bands, rows, cols)
        return np.concatenate([self._around(maps, scale, rows, cols) for scale, maps in self._maps(bands)], axis=1)

    def to(self, compute: Compute) -> None:
        """Move the encoder to a device; always in float32, with torch's number of threads."""
        self._encoder.to(compute.device)

    def describe(self) -> dict[str, Any]:
        """Return plain values that `restore` needs to rebuild the same feature, together with the file of `save`."""
        origin = "random" if self.weights is None else Path(self.weights).name
        return asdict(self) | {"scales": list(self.scales), "weights": origin}

    @property
    def file(self) -> str:
        """Name of the file that `save` writes."""
        return f"{self.name}_encoder.safetensors"

    def save(self, folder: str | Path) -> list[str]:
        """Write the encoder's weights into an existing folder; returns the file's name."""
        import torch
        from safetensors.torch import save_file

        state = self._encoder.state()
        if self._projection is not None:
            state[PROJECTION] = torch.from_numpy(self._projection)
        with atomic_write(Path(folder) / self.file) as partial:
            save_file(state, partial)
        return [self.file]

    @classmethod
    def restore(cls, folder: str | Path, description: Mapping[str, Any]) -> DeepFeatures:
        """Make the feature that `save` wrote; nothing is downloaded. Errors: RunError for a file that does not belong to it."""
        from deepnets4eo.segmenters import read_tensors

        path = Path(folder) / f"{description['name']}_encoder.safetensors"
        if path.resolve().parent != Path(folder).resolve():
            raise RunError(
                f"the deep features of {folder} name {path}, which is not inside the run. Do not use this run."
            )
        try:
            feature = cls(**{**description, "weights": path})
            projection = read_tensors(path).get(PROJECTION)
        except (InputError, TypeError) as error:
            raise RunError(f"the deep features of {folder} cannot be restored: {error}") from error
        feature.weights = None if description["weights"] == "random" else description["weights"]
        if feature.components is not None:
            if projection is None or tuple(projection.shape) != (feature.components, feature._encoder.channels):
                raise RunError(f"{path} lacks the projection onto {feature.components} columns. Copy the run again.")
            feature._projection = projection.numpy()
        return feature

    @property
    def _footprints(self) -> list[int]:
        """Sides of the patches in the image itself, by scale."""
        return [max(round((self.patch_px or 1) / scale), 1) for scale in self.scales]

    # dense: one pass over the image

    def _maps(self, bands: Bands) -> Iterator[tuple[float, Tensor]]:
        """Yield scale and maps (M, width, rows, columns) of the whole image."""
        import torch
        import torch.nn.functional as F

        encoder = self._encoder
        whole = torch.from_numpy(encoder_images(bands, self._encoder, self.inputs)).to(encoder.device)
        for scale in cast(tuple[float, ...], self.scales):
            with torch.inference_mode():
                resized = whole
                if scale != 1:
                    side = [max(round(length * scale), 1) for length in bands.shape]
                    resized = F.interpolate(whole, side, mode="bilinear", antialias=scale < 1, align_corners=False)
                below, right = (-length % 32 for length in resized.shape[2:])
                resized = F.pad(resized, (0, right, 0, below), mode="replicate")
                # one image at a time: the same bits whatever the inputs, and a third of the memory
                yield scale, torch.cat([self._project(encoder(image[None])) for image in resized])

    def _dense(self, bands: Bands, rows: Indices, cols: Indices) -> Iterator[FloatImage]:
        import torch

        for scale, maps in self._maps(bands):
            down, across = self._weights(rows, maps.shape[2], scale), self._weights(cols, maps.shape[3], scale)
            with torch.inference_mode():
                device = maps.device
                values = torch.from_numpy(down).to(device) @ maps @ torch.from_numpy(across.T.copy()).to(device)
                yield values.flatten(0, 1).cpu().numpy()

    def _weights(self, positions: NDArray[Any], cells: int, scale: float) -> FloatImage:
        """Return weights of the cells along an axis at positions in the image, (positions, cells) float32, sums 1."""
        reduction, offset = self._encoder.reduction, self._encoder.offset_px
        centres = ((positions + 0.5) * scale - 0.5 - offset) / reduction
        return (
            bilinear_weights(centres, cells)
            if self.patch_px is None
            else box_weights(centres, self.patch_px / reduction, cells)
        )

    def _means(self, maps: Tensor, scale: float, ids: NDArray[np.int32], count: int) -> FloatImage:
        """Return the mean of `_dense` over superpixels: weights of their pixels are summed, instead of F columns upsampled."""
        from scipy import sparse

        height, width = ids.shape
        down = sparse.csr_matrix(self._weights(np.arange(height), maps.shape[2], scale))
        across = sparse.csr_matrix(self._weights(np.arange(width), maps.shape[3], scale))
        inside = np.flatnonzero(ids.ravel() >= 0)
        which = ids.ravel()[inside]
        ones = np.ones(inside.size, np.float32)
        members = sparse.csr_matrix((ones, (which, inside)), shape=(count, height * width))
        shares = (members @ sparse.kron(down, across, format="csr")).astype(np.float32)
        sizes = np.maximum(np.bincount(which, minlength=count), 1).astype(np.float32)
        flat = maps.flatten(2).flatten(0, 1).cpu().numpy()
        return np.asarray(shares @ flat.T, np.float32) / sizes[:, None]

    def _around(self, maps: Tensor, scale: float, rows: NDArray[Any], cols: NDArray[Any]) -> FloatImage:
        """Return means of maps over the patches around n positions, (n, M · width) float32."""
        flat = maps.flatten(0, 1).cpu().numpy()
        down, across = self._weights(rows, flat.shape[1], scale), self._weights(cols, flat.shape[2], scale)
        means = []
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            bands = np.tensordot(down[part], flat, axes=(1, 1))  # (n, M · width, columns)
            means.append(np.matmul(bands, across[part, :, None])[..., 0])
        return np.concatenate(means) if means else np.empty((0, flat.shape[0]), np.float32)

    # patches: each by itself

    def _at_patches(self, bands: Bands, rows: Indices, cols: Indices) -> FloatImage:
        down, across = (axis.ravel() for axis in np.meshgrid(rows, cols, indexing="ij"))
        return np.ascontiguousarray(self.at_indices(bands, down, across).T).reshape(-1, len(rows), len(cols))

    def at_indices(self, bands: Bands, rows: Indices, cols: Indices) -> FloatImage:
        """Return values of the patches around n pixels, (n, F) float32; beyond its edges the image is mirrored."""
        images = encoder_images(bands, self._encoder, self.inputs)
        parts = []
        for side in self._footprints:
            margin = side // 2 + self.step_px
            padded = mirror_pad(images, margin)
            first = (rows - side // 2 + margin, cols - side // 2 + margin)
            parts += [self._patch_values(image, side, *first) for image in padded]
        return np.concatenate(parts, axis=1)

    def _patch_values(self, image: FloatImage, side: int, rows: Indices, cols: Indices) -> FloatImage:
        """Return values of the patches of one image that begin at n rows and columns, (n, width)."""
        import torch
        import torch.nn.functional as F

        values = np.empty((len(rows), self.width), np.float32)
        batch = np.zeros((BATCH, 3, side, side), np.float32)
        input_px = self.input_px or self.patch_px or side
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            for index, (row, col) in enumerate(zip(rows[part], cols[part], strict=True)):
                batch[index] = image[:, row : row + side, col : col + side]
            with torch.inference_mode():
                images = torch.from_numpy(batch).to(self._encoder.device)
                if side != input_px:
                    images = F.interpolate(
                        images, (input_px, input_px), mode="bilinear", antialias=side > input_px, align_corners=False
                    )
                pooled = self._project(self._encoder(images)).mean(dim=(2, 3))
            values[part] = pooled.cpu().numpy()[: len(values[part])]
        return values

    def _project(self, maps: Tensor) -> Tensor:
        import torch

        if self._projection is None:
            return maps
        return torch.einsum("kc,nchw->nkhw", torch.from_numpy(self._projection).to(maps.device), maps)


def _projection(components: int | None, channels: int, seed: int) -> FloatImage | None:
    """Return orthonormal rows (components, channels), drawn from a seed. Errors: InputError for more rows than channels."""
    if components is None:
        return None
    if components > channels:
        raise InputError(f"components={components}, but the encoder's level has {channels} channels. Leave it out.")
    drawn = np.random.default_rng([seed, channels]).standard_normal((channels, components))
    return np.ascontiguousarray(np.linalg.qr(drawn)[0].T, np.float32)


def _round_up(length: float, unit: float) -> int:
    return int(np.ceil(np.ceil(length / unit) * unit))


def bilinear_weights(positions: NDArray[Any], cells: int) -> FloatImage:
    """Return weights of the two nearest cells, (positions, cells) float32; beyond the first and last cell, only theirs."""
    inside = np.clip(positions, 0, cells - 1)[:, None]
    return np.maximum(1 - np.abs(inside - np.arange(cells)), 0).astype(np.float32)


def box_weights(positions: NDArray[Any], side: float, cells: int) -> FloatImage:
    """Return weights of the mean over `side` cells around positions, (positions, cells) float32; only cells inside
    count."""
    centres = np.clip(positions, 0, cells - 1)[:, None]
    low, high = centres - side / 2, centres + side / 2
    numbers = np.arange(cells)
    shared = np.clip(np.minimum(high, numbers + 0.5) - np.maximum(low, numbers - 0.5), 0, None)
    return (shared / shared.sum(axis=1, keepdims=True)).astype(np.float32)


def mirror_pad(image: FloatImage, margin: int) -> FloatImage:
    """Return an image (…, h, w) with a mirrored margin on each side, mirrored repeatedly if the margin is wider than the image.

    >>> mirror_pad(np.array([[1.0, 2.0, 3.0]]), 2)[0].tolist()
    [3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    """
    return np.pad(image, [(0, 0)] * (image.ndim - 2) + [(margin, margin)] * 2, mode="reflect")
