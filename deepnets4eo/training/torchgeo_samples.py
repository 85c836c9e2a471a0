"""Scenes as a dataset of torchgeo's samples, and datasets of torchgeo as files that recipes learn from.

Samples are dictionaries with `image` (C, h, w) float32 and `mask` (h, w) int64, as loaders and tasks of torchgeo take them; torchgeo need not be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError, check_choice
from deepnets4eo.evaluation import LabelReader, LegendLabels
from deepnets4eo.files import check_overwrite
from deepnets4eo.grid import Grid, Window, whole
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import Unknown
from deepnets4eo.rasters import CogWriter, Layer, Scene
from deepnets4eo.read_as import assess_scene

if TYPE_CHECKING:
    from torch import Tensor

IMAGE, MASK, LABEL = "image", "mask", "label"
CHIPS = "images.npz"


class SampleDataset(Protocol):
    """A dataset of PyTorch whose samples are dictionaries, as torchgeo's are."""

    def __len__(self) -> int:
        """Return the number of samples."""

    def __getitem__(self, index: Any) -> dict[str, Any]:
        """One sample."""


class SceneDataset:
    """Windows of scenes side by side, as samples of torchgeo: a map-style dataset for any `DataLoader`.

    Parameters
    ----------
    scenes : with `image` and, for a `mask`, `labels`
    legend : classes of the labels; the mask has their indices, and 255 for void and where nothing was seen
    tile_px : side of the windows; what reaches beyond the edge is 0, its mask 255
    layers : those whose bands make the image, in this order
    transforms : sample → sample, as of torchgeo
    unknown : "error" or "void", for values and colours of labels that the legend lacks

    Examples
    --------
    ```python
    train = SceneDataset([Scene.open(image="a.tif", labels="a_labels.tif")], Legend.load("isprs"))
    for batch in DataLoader(train, batch_size=8, shuffle=True): ...
    ```
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        legend: Legend,
        *,
        tile_px: int = 256,
        layers: Sequence[str] = (IMAGE,),
        transforms: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        unknown: Unknown = "error",
    ) -> None:
        if not scenes or tile_px < 1:
            raise InputError(
                f"{len(scenes)} scenes and tile_px={tile_px} make no samples. Give a scene, and a side of 1 or more."
            )
        check_choice("unknown", unknown, get_args(Unknown))
        scenes = [assess_scene(scene, on_ground=False, legend=legend) for scene in scenes]
        self.scenes, self._labelled = scenes, [Scene.label_layer in scene.layers for scene in scenes]
        self._labels = [
            _with_legend(scene, legend, unknown) if labelled else scene
            for scene, labelled in zip(self.scenes, self._labelled, strict=True)
        ]
        self.layers, self.transforms = tuple(layers), transforms
        self._to_index = legend.to_index()
        self.windows = [
            (number, Window(row, column, tile_px, tile_px))
            for number, scene in enumerate(self.scenes)
            for row in range(0, scene.shape[0], tile_px)
            for column in range(0, scene.shape[1], tile_px)
        ]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.windows)

    @name_missing_extra()
    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """`image` (C, P, P) float32 and, of scenes with labels, `mask` (P, P) int64."""
        import torch

        number, window = self.windows[index]
        scene = self.scenes[number]
        read = scene.read(window, self.layers)
        valid = read["valid"]
        image = np.where(valid, np.concatenate([read[name] for name in self.layers]), np.float32(0))
        sample: dict[str, Tensor] = {IMAGE: torch.from_numpy(np.ascontiguousarray(image, np.float32))}
        if self._labelled[number]:
            labels = self._labels[number].read(window, (Scene.label_layer,))[
                Scene.label_layer
            ]  # apart: where they are void, the image is not
            mask = np.where(valid, self._to_index[labels], VOID)
            sample[MASK] = torch.from_numpy(mask.astype(np.int64))
        return sample if self.transforms is None else self.transforms(sample)


def _with_legend(scene: Scene, legend: Legend, unknown: Unknown) -> Scene:
    """Return the scene with labels as values of the legend. Errors: InputError (labels of an unusable type)."""
    reader = LabelReader(scene.layers[Scene.label_layer], legend, unknown=unknown)
    return Scene({**scene.layers, Scene.label_layer: Layer(LegendLabels(reader.on(scene.grid), legend))}, scene.grid)


def write_samples(
    dataset: SampleDataset, out: str | Path, *, legend: Legend | None = None, bands: Sequence[str] = (), overwrite: bool = False
) -> list[dict[str, str]] | Path:  # fmt: skip
    """Write the samples of a torchgeo dataset as files that recipes learn from.

    Errors: InputError (no samples; one without an image, or without `mask` and `label`; masks without a legend); OutputError (files exist).

    Parameters
    ----------
    dataset : of `image` and `mask`, or of `image` and `label`; `crs` and `bounds` of a sample, if present, georeference its raster
    out : folder
    legend : classes of the masks, whose numbers are class indices; all others are void
    bands : names of the image's bands
    overwrite : replace files that exist

    Returns
    -------
    For samples with masks, the scenes for `data.scenes`: a name, an image and labels each. For samples with labels, the archive for
    `data.folders`.

    Examples
    --------
    ```python
    scenes = write_samples(LandCoverAI("LandCoverAI"), "tiles", legend=Legend.load("landcover"), bands=["red", "green", "blue"])
    train("unet-resnet34", "runs/cover", overrides=[f"data.scenes={json.dumps(scenes)}"])
    ```
    """
    if not len(dataset):
        raise InputError("the dataset has no sample. Check its folder and its split.")
    first, folder = dataset[0], Path(out)
    if IMAGE not in first or not {MASK, LABEL} & first.keys():
        raise InputError(
            f"a sample has {', '.join(map(str, first)) or 'nothing'}; expected {IMAGE} and {MASK}, or {IMAGE} and {LABEL}."
        )
    if MASK not in first:
        return _write_archive(dataset, folder, overwrite=overwrite)
    if legend is None:
        raise InputError(
            "masks need a legend with their classes, whose order is that of their numbers. Give legend=Legend.load(…)."
        )
    scenes = []
    for number in range(len(dataset)):
        sample, name = dataset[number], f"{number:06d}"
        image, mask = _array(sample[IMAGE]), np.squeeze(_array(sample[MASK]))
        known = (mask >= 0) & (mask < legend.num_classes)
        labels = legend.from_index()[np.where(known, mask, VOID).astype(np.uint8)]
        grid = _grid_of(sample, image.shape[1:])
        files = {IMAGE: folder / f"{name}.tif", Scene.label_layer: folder / f"{name}_labels.tif"}
        for path in files.values():
            check_overwrite(path, overwrite=overwrite)
        with CogWriter(files[IMAGE], grid, count=len(image), dtype=str(image.dtype), band_names=bands) as cog:
            cog.write(whole(grid), image)
        with CogWriter(files[Scene.label_layer], grid, legend=legend) as cog:
            cog.write(whole(grid), labels)
        scenes.append({"name": name} | {layer: str(path) for layer, path in files.items()})
    return scenes


def _write_archive(dataset: SampleDataset, folder: Path, *, overwrite: bool) -> Path:
    """Images (N, C, h, w) and the labels (N,) or (N, K) of whole images, as an archive."""
    samples = [dataset[number] for number in range(len(dataset))]
    check_overwrite(folder / CHIPS, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = ([_array(sample[name]) for sample in samples] for name in (IMAGE, LABEL))
    np.savez(folder / CHIPS, images=np.stack(images), labels=np.stack(labels))
    return folder / CHIPS


def _array(values: Any) -> NDArray[Any]:
    """Return the numbers of a tensor or array; whole numbers of 8 or 16 bits keep their type."""
    array = np.asarray(values)
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        return array.astype(np.float32)
    return array.astype(np.int32) if array.dtype.itemsize > 4 else array


def _grid_of(sample: dict[str, Any], shape: tuple[int, ...]) -> Grid:
    """Return the grid of a sample, from its `bounds` as slices of x and y with a step; else plain pixels."""
    height, width = shape
    bounds = sample.get("bounds")
    if (
        sample.get("crs") is not None
        and isinstance(bounds, tuple)
        and all(isinstance(axis, slice) for axis in bounds[:2])
    ):
        x, y = bounds[:2]
        affine = Affine((x.stop - x.start) / width, 0, x.start, 0, -(y.stop - y.start) / height, y.stop)
        return GeoBox((height, width), affine, str(sample["crs"]))
    return GeoBox((height, width), Affine.identity(), None)
