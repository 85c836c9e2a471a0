"""Types of objects, such as car, van or truck: learned from labelled objects, told of new ones, kept as a sealed run.

Takes layers with tables of objects, as from `extract_objects`, and for training a column of types. Refuses types that
are not its own, other bands, and folders that are no such run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError, RunError, name_hint
from deepnets4eo.files import atomic_write
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.objects.patches import upright_patches
from deepnets4eo.rasters.scene import Layer
from deepnets4eo.segmenters.checksums import open_sealed, seal

if TYPE_CHECKING:
    import geopandas as gpd
    from torch import Tensor

VEDAI_TYPES = ("car", "truck", "pick-up", "tractor", "camping car", "boat", "van", "other", "plane")
KIND = "object-classifier"
WEIGHTS = "network.safetensors"
CHUNK = 8192
TYPE, TYPE_PROB = "type", "type_prob"


@dataclass(frozen=True)
class ObjectView:
    """What of an object is looked at: a square of `extent_m` around its middle, brought to `side_px` pixels."""

    extent_m: float = 8.0
    side_px: int = 32

    def __post_init__(self) -> None:
        if not (np.isfinite(self.extent_m) and self.extent_m > 0 and self.side_px >= 16):
            raise InputError(f"{self} is no view: extent_m must be above 0, side_px at least 16.")


class ObjectClassifier:
    """Tells the types of objects by a small network on upright patches and the objects' sizes.

    types : what there is to tell, by default the nine classes of VEDAI
    Source: Audebert et al., Remote Sensing 9(4):368, 2017 (a network on crops of segmented vehicles); VEDAI: Razakarivony
    and Jurie, J. Vis. Commun. Image R. 34, 2016.
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
        """Learn from labelled objects: one table a layer, its `column` holds the types.

        Types without an example are never told. Errors: InputError for unknown types, or fewer than two among the
        objects. Memory: all patches, 4 bytes a value, three times.
        """
        import torch

        from deepnets4eo.objects.network import ObjectNetwork, train

        if len(layers) != len(objects):
            raise InputError(
                f"{len(objects)} tables of objects were given for {len(layers)} layers. Give one for each."
            )
        names = np.concatenate([np.zeros(0, object), *(self._names(table, column) for table in objects)])
        if len(set(names)) < 2:
            raise InputError(f"the objects show the types {sorted(set(names))}; learning needs two at least.")
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
        known = torch.from_numpy(np.array([self.types.index(name) for name in names], np.int64))
        self.history = train(self._network, *self._scaled(patches, sizes), known, epochs=epochs, seed=self.seed)
        return self

    def predict(self, layer: Layer, objects: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
        """The objects with `type` and `type_prob` (0–1). Errors: InputError for other bands; RunError before `fit`."""
        probabilities = self.predict_probabilities(layer, objects)
        best = probabilities.argmax(axis=1)
        chosen = probabilities[np.arange(len(best)), best].astype(np.float64)
        return objects.assign(**{TYPE: np.array(self.types, object)[best], TYPE_PROB: chosen})

    def predict_probabilities(self, layer: Layer, objects: gpd.GeoDataFrame) -> NDArray[np.float32]:
        """(N, number of types) float32, rows sum to 1. Memory: the patches of 8192 objects."""
        from deepnets4eo.objects.network import probabilities

        if self._network is None:
            raise RunError("this classifier has learned nothing yet. Call fit, or load a saved one.")
        if layer.count != len(self._scaling["mean"]):
            raise InputError(
                f"{layer.source} has {layer.count} bands, the classifier learned on {len(self._scaling['mean'])}. "
                "Give the same bands in the same order."
            )
        parts = [np.zeros((0, len(self.types)), np.float32)]
        for at in range(0, len(objects), CHUNK):
            some = objects.iloc[at : at + CHUNK]
            patches = upright_patches(layer, some, self.view.extent_m, self.view.side_px)
            parts.append(probabilities(self._network, *self._scaled(patches, _log_sizes(some))))
        return np.concatenate(parts)

    def save(self, folder: str | Path) -> Path:
        """Write a sealed run folder, weights as safetensors; returns it."""
        from safetensors.torch import save_file

        from deepnets4eo.segmenters.run import versions

        if self._network is None:
            raise RunError("this classifier has learned nothing yet, so there is nothing to save. Call fit first.")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / WEIGHTS) as partial:
            save_file(self._network.state_dict(), partial)
        card = {"kind": KIND, "types": list(self.types), "view": asdict(self.view), "scaling": self._scaling}
        seal(folder, card | {"seed": self.seed, "history": self.history, "versions": versions()}, [WEIGHTS])
        return folder

    @classmethod
    @name_missing_extra()
    def load(cls, folder: str | Path) -> ObjectClassifier:
        """Read what `save` wrote, after checking its seal. Errors: RunError."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from deepnets4eo.objects.network import ObjectNetwork
        from deepnets4eo.segmenters.run import UNFIT

        card = open_sealed(folder)
        if card.get("kind") != KIND:
            raise RunError(f"{folder} is a run of kind {card.get('kind')!r}, expected {KIND!r}. Give another folder.")
        try:
            found = cls(card["types"], ObjectView(**card["view"]), seed=card["seed"])
            found._scaling, found.history = card["scaling"], card["history"]
            found._network = ObjectNetwork(len(card["scaling"]["mean"]), len(found.types))
            found._network.load_state_dict(load_file(Path(folder) / WEIGHTS))
        except (*UNFIT, SafetensorError) as error:
            raise RunError(f"{folder} cannot be rebuilt: {error}. Train the classifier again.") from error
        found._network.eval()
        return found

    def _names(self, table: gpd.GeoDataFrame, column: str) -> NDArray[np.object_]:
        if column not in table.columns:
            raise InputError(f"objects have the columns {sorted(map(str, table.columns))}, not {column!r}.")
        names = table[column].to_numpy(object)
        for name in sorted(set(map(str, names)) - set(self.types)):
            hint = name_hint(name, self.types, "Give the classifier its types.")
            raise InputError(f'"{name}" is no type of {", ".join(self.types)}. {hint}')
        return names

    def _scaled(self, patches: NDArray[np.float32], sizes: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
        import torch

        mean, std = (np.array(self._scaling[name], np.float32)[:, None, None] for name in ("mean", "std"))
        flat = (sizes - np.array(self._scaling["size_mean"])) / np.array(self._scaling["size_std"])
        return torch.from_numpy((patches - mean) / std), torch.from_numpy(flat.astype(np.float32))


def _log_sizes(objects: gpd.GeoDataFrame) -> NDArray[np.float64]:
    """(N, 2) logarithms of length and width in metres."""
    sizes = objects[["length_m", "width_m"]].to_numpy(np.float64)
    return np.log(np.maximum(sizes, 0.01))
