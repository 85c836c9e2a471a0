"""Types of objects, such as car, van or truck: learned from labelled objects, predicted for others, saved as a sealed run.

Takes layers with tables of objects, as from `extract_objects`, and for training a column of types. The network sees patches
that are rotated so that the long side runs down: all objects have the same direction. Pixels beyond the raster are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from deepnets4eo.errors import GridError, InputError, RunError, name_hint
from deepnets4eo.files import atomic_write
from deepnets4eo.grid import apply_affine, gsd_m
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.options import option_group, options_from, plain_options
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.checksums import open_sealed, seal
from deepnets4eo.zonal import resample_patches

if TYPE_CHECKING:
    import geopandas as gpd


WIDTH = 16
BATCH = 64

VEDAI_TYPES = ("car", "truck", "pick-up", "tractor", "camping car", "boat", "van", "other", "plane")
KIND = "object-classifier"
WEIGHTS = "network.safetensors"
CHUNK_OBJECTS = 8192  # whose patches are in memory at once
TYPE, TYPE_PROB = "type", "type_prob"

DIAGONAL = 2**0.5


@option_group
class ObjectView:
    """The square around an object's centre that the classifier uses.

    Parameters
    ----------
    extent_m : side of the square on the ground in metres, above 0
    side_px : side in pixels to which the square is resampled, at least 16

    Raises
    ------
    InputError
        For a value out of range.

    Examples
    --------
    >>> ObjectView(extent_m=6)
    ObjectView(extent_m=6.0, side_px=32)
    """

    extent_m: float = Field(default=8.0, gt=0, allow_inf_nan=False)
    side_px: int = Field(default=32, ge=16)


class ObjectClassifier:
    """A small network that classifies objects by upright patches and the objects' sizes.

    Sources: Audebert et al., Remote Sensing 9(4):368, 2017 (a network on crops of segmented vehicles); VEDAI: Razakarivony
    and Jurie, J. Vis. Commun. Image R. 34, 2016.

    Parameters
    ----------
    types : names of the types, at least two, by default the nine classes of VEDAI
    view : the square around an object that is used, by default `ObjectView()`
    seed : the seed of the network's first weights and of the training

    Raises
    ------
    InputError
        For fewer than two types, or for a name that occurs twice.

    Examples
    --------
    >>> ObjectClassifier(["car", "van"], ObjectView(extent_m=6)).types
    ('car', 'van')
    """

    def __init__(self, types: Sequence[str] = VEDAI_TYPES, view: ObjectView | None = None, *, seed: int = 0) -> None:
        if len(types) < 2 or len(set(types)) < len(types):
            raise InputError(f"types are {list(types)}, expected at least two different names.")
        self.types, self.view, self.seed = tuple(types), view or ObjectView(), seed
        self.history: list[float] = []
        self._network: Any = None
        self._scaling: dict[str, list[float]] = {}

    @name_missing_extra()
    def fit(
        self, layers: Sequence[Layer], objects: Sequence[gpd.GeoDataFrame], *, column: str = TYPE, epochs: int = 30
    ) -> ObjectClassifier:
        """Train with labelled objects: one table a layer, its `column` contains the types.

        Types without an example are never predicted. Errors: InputError for unknown types, or fewer than two among the
        objects. Memory: all patches, 4 bytes a value, three times."""

        if len(layers) != len(objects):
            raise InputError(
                f"{len(objects)} tables of objects were given for {len(layers)} layers. Give one for each."
            )
        names = np.concatenate([np.zeros(0, object), *(self._type_names(table, column) for table in objects)])
        if len(set(names)) < 2:
            raise InputError(f"the objects have the types {sorted(set(names))}; training needs at least two.")
        patches = np.concatenate(
            [upright_patches(*one, self.view.extent_m, self.view.side_px) for one in zip(layers, objects, strict=True)]
        )
        sizes = np.concatenate([_log_sizes(table) for table in objects])
        self._scaling = {
            "mean": patches.mean(axis=(0, 2, 3), dtype=np.float64).tolist(),
            "std": np.maximum(patches.std(axis=(0, 2, 3), dtype=np.float64), 1e-6).tolist(),
            "size_mean": sizes.mean(axis=0).tolist(),
            "size_std": np.maximum(sizes.std(axis=0), 1e-6).tolist(),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self._network = ObjectNetwork(patches.shape[1], len(self.types))
        targets = torch.from_numpy(np.array([self.types.index(name) for name in names], np.int64))
        self.history = train(self._network, *self._standardise(patches, sizes), targets, epochs=epochs, seed=self.seed)
        return self

    def predict(self, layer: Layer, objects: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """Return the objects with `type` and `type_prob` (0–1). Errors: InputError for other bands; RunError before `fit`."""
        predict_probabilities = self.predict_probabilities(layer, objects)
        best = predict_probabilities.argmax(axis=1)
        chosen = predict_probabilities[np.arange(len(best)), best].astype(np.float64)
        return objects.assign(**{TYPE: np.array(self.types, object)[best], TYPE_PROB: chosen})

    def predict_probabilities(
        self, layer: Layer, objects: gpd.GeoDataFrame, *, chunk_objects: int = CHUNK_OBJECTS
    ) -> NDArray[np.float32]:
        """Return (N, number of types) float32, rows sum to 1. Memory: the patches of `chunk_objects` objects."""

        if self._network is None:
            raise RunError("this classifier is not trained. Call fit, or load a saved one.")
        if layer.count != len(self._scaling["mean"]):
            raise InputError(
                f"{layer.source} has {layer.count} bands, the classifier was trained with {len(self._scaling['mean'])}. "
                "Give the same bands in the same order."
            )
        parts = [np.zeros((0, len(self.types)), np.float32)]
        for at in range(0, len(objects), chunk_objects):
            some = objects.iloc[at : at + chunk_objects]
            patches = upright_patches(layer, some, self.view.extent_m, self.view.side_px)
            parts.append(predict_probabilities(self._network, *self._standardise(patches, _log_sizes(some))))
        return np.concatenate(parts)

    def save(self, folder: str | Path) -> Path:
        """Write a sealed run folder, weights as safetensors; returns it."""
        from safetensors.torch import save_file

        from deepnets4eo.segmenters.run import versions

        if self._network is None:
            raise RunError("this classifier is not trained and cannot be saved. Call fit first.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / WEIGHTS) as partial:
            save_file(self._network.state_dict(), partial)
        card = {"kind": KIND, "types": list(self.types), "view": plain_options(self.view), "scaling": self._scaling}
        seal(folder, card | {"seed": self.seed, "history": self.history, "versions": versions()}, [WEIGHTS])
        return folder

    @classmethod
    @name_missing_extra()
    def load(cls, folder: str | Path) -> ObjectClassifier:
        """Read what `save` wrote, after checking its seal. Errors: RunError for another or a damaged folder."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from deepnets4eo.segmenters.run import UNFIT

        card = open_sealed(folder)
        if card.get("kind") != KIND:
            raise RunError(f"{folder} is a run of kind {card.get('kind')!r}, expected {KIND!r}. Give another folder.")
        try:
            classifier = cls(card["types"], options_from(ObjectView, card["view"], "view"), seed=card["seed"])
            classifier._scaling, classifier.history = card["scaling"], card["history"]
            classifier._network = ObjectNetwork(len(card["scaling"]["mean"]), len(classifier.types))
            classifier._network.load_state_dict(load_file(Path(folder) / WEIGHTS))
        except (*UNFIT, SafetensorError) as error:
            raise RunError(f"{folder} cannot be rebuilt: {error}. Train the classifier again.") from error
        classifier._network.eval()
        return classifier

    def _type_names(self, table: gpd.GeoDataFrame, column: str) -> NDArray[np.object_]:
        if column not in table.columns:
            raise InputError(f"objects have the columns {sorted(map(str, table.columns))}, not {column!r}.")
        names = table[column].to_numpy(object)
        for name in sorted(set(map(str, names)) - set(self.types)):
            hint = name_hint(name, self.types, "Give the classifier its types.")
            raise InputError(f'"{name}" is no type of {", ".join(self.types)}. {hint}')
        return names

    def _standardise(self, patches: NDArray[np.float32], sizes: NDArray[np.float64]) -> tuple[Tensor, Tensor]:

        mean, std = (np.array(self._scaling[name], np.float32)[:, None, None] for name in ("mean", "std"))
        flat = (sizes - np.array(self._scaling["size_mean"])) / np.array(self._scaling["size_std"])
        return torch.from_numpy((patches - mean) / std), torch.from_numpy(flat.astype(np.float32))


def _log_sizes(objects: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """Return (N, 2) logarithms of length and width in metres."""
    sizes = objects[["length_m", "width_m"]].to_numpy(np.float64)
    return np.log(np.maximum(sizes, 0.01))


class ObjectNetwork(nn.Module):
    """Three convolutions, averaged over the patch, concatenated with the object's size, one hidden layer.

    forward : (N, C, s, s) standardised patches, (N, 2) standardised log sizes → (N, num_classes) logits

    >>> ObjectNetwork(3, 9)(torch.zeros(2, 3, 32, 32), torch.zeros(2, 2)).shape
    torch.Size([2, 9])
    """

    def __init__(self, in_channels: int, num_classes: int, width: int = WIDTH) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((in_channels, width), (width, 2 * width), (2 * width, 4 * width)):
            layers += [
                nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False),
                nn.BatchNorm2d(channels_out),
                nn.ReLU(),
            ]
            layers += [nn.MaxPool2d(2)]
        self.patch = nn.Sequential(*layers)
        self.num_classes = num_classes
        self.decision = nn.Sequential(nn.Linear(4 * width + 2, 4 * width), nn.ReLU(), nn.Linear(4 * width, num_classes))

    def forward(self, patches: Tensor, sizes: Tensor) -> Tensor:
        """Return logits (N, num_classes) of (N, C, s, s) and (N, 2)."""
        pooled = self.patch(patches).mean(dim=(2, 3))
        logits: Tensor = self.decision(torch.cat([pooled, sizes], dim=1))
        return logits


def train(
    network: ObjectNetwork, patches: Tensor, sizes: Tensor, types: Tensor, *, epochs: int, seed: int
) -> list[float]:
    """Train in place by Adam on class-balanced cross-entropy; returns the mean loss of each epoch.

    Patches are mirrored at random along both axes; sizes vary by 5 %."""
    draw = torch.Generator().manual_seed(seed)
    count = torch.bincount(types, minlength=network.num_classes).float()
    weight = torch.where(count > 0, count.sum() / (count > 0).sum() / count.clamp(min=1), 0.0)
    criterion = nn.CrossEntropyLoss(weight)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-3)
    batches = max(1, len(types) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=max(epochs * batches, 2))
    history = []
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(types), generator=draw)
        losses = []
        # batches of similar size, so that none has a single patch, which cannot be normalised
        for rows in torch.tensor_split(order, batches):
            batch = patches[rows]
            for axis in (2, 3):
                mirrored = torch.rand(len(rows), generator=draw) < 0.5
                batch = torch.where(mirrored[:, None, None, None], batch.flip(axis), batch)
            jitter = sizes[rows] + 0.1 * torch.randn(len(rows), 2, generator=draw)
            loss = criterion(network(batch, jitter), types[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        history.append(float(np.mean(losses)))
    network.eval()
    return history


def predict_probabilities(network: ObjectNetwork, patches: Tensor, sizes: Tensor) -> NDArray[np.float32]:
    """Return (N, num_classes) float32, rows sum to 1."""
    network.eval()
    parts: list[Any] = []
    with torch.no_grad():
        for at in range(0, len(patches), 8 * BATCH):
            rows = slice(at, at + 8 * BATCH)
            parts.append(network(patches[rows], sizes[rows]).softmax(dim=1).numpy())
    return np.concatenate([np.zeros((0, network.num_classes), np.float32), *parts])


@name_missing_extra()
def upright_patches(layer: Layer, objects: gpd.GeoDataFrame, extent_m: float, side_px: int) -> NDArray[np.float32]:
    """Return patches around the objects' centres, rotated so that the long side runs down.

    Parameters
    ----------
    layer : the image, C bands
    objects : with `geometry` and `heading_deg`, as from `extract_objects`; the rotation is right up to a half turn
    extent_m : side of a patch on the ground in metres
    side_px : side of a patch in pixels

    Returns
    -------
    (N, C, side_px, side_px) float32
        Values of the layer, 0 where not valid.

    Raises
    ------
    InputError
        For objects without headings.
    GridError
        Where only one of layer and objects has a CRS.

    Notes
    -----
    Memory: all patches at twice their size.

    Examples
    --------
    >>> labels = np.zeros((12, 12), np.uint8)
    >>> labels[4:8, 2:9] = 4
    >>> from deepnets4eo.objects import extract_objects
    >>> cars = extract_objects(labels, "car", "isprs")
    >>> upright_patches(Layer.open(labels), cars, extent_m=8, side_px=16).shape
    (1, 1, 16, 16)
    """

    if "heading_deg" not in objects.columns:
        raise InputError(
            f"objects have the columns {sorted(map(str, objects.columns))}, not 'heading_deg'. Use the table of extract_objects."
        )
    out = np.zeros((len(objects), layer.count, side_px, side_px), np.float32)
    wide = int(np.ceil(side_px * DIAGONAL))
    row_m, col_m = gsd_m(layer.grid)
    extent_px = extent_m * wide / side_px / ((row_m + col_m) / 2)
    turns = np.radians(_turn_deg(objects, layer))
    for rows, data, valid in resample_patches(layer, _centres(objects, layer), np.full(len(objects), extent_px), wide):
        values = torch.from_numpy(np.where(valid[:, None], data, 0).astype(np.float32))
        cos, sin = (torch.from_numpy(wave(turns[rows])).float() * side_px / wide for wave in (np.cos, np.sin))
        zero = torch.zeros_like(cos)
        theta = torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)
        positions = torch.nn.functional.affine_grid(
            theta, [len(rows), layer.count, side_px, side_px], align_corners=False
        )
        out[rows] = torch.nn.functional.grid_sample(values, positions, mode="bilinear", align_corners=False).numpy()
    return out


def _centres(objects: gpd.GeoDataFrame, layer: Layer) -> NDArray[np.float64]:
    """Return centres (N, 2) as column and row of the layer."""
    if (objects.crs is None) != (layer.grid.crs is None):
        raise GridError(f"one of objects and {layer.source} has a CRS, the other has none. Assign the missing one.")
    points: Any = objects.geometry.centroid
    if objects.crs is not None and layer.grid.crs is not None and objects.crs != layer.grid.crs.proj:
        points = points.to_crs(layer.grid.crs.proj)
    return apply_affine(~layer.grid.affine, shapely.get_coordinates(points.to_numpy()).reshape(-1, 2))


def _turn_deg(objects: gpd.GeoDataFrame, layer: Layer) -> NDArray[np.float64]:
    """Return the clockwise angle of each object's long side from the image's top."""
    affine = layer.grid.affine
    top = 0.0 if layer.grid.crs is None else float(np.degrees(np.arctan2(-affine.b, -affine.e)))
    return objects["heading_deg"].to_numpy(np.float64) - top
