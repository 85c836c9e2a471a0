"""Long steps of a damage job, done once for the same inputs: for test files whose jobs differ in what comes after.

Each function replaces a step by one that looks first whether it had the very same inputs before.
"""

from __future__ import annotations

import copy
import hashlib
import pickle
from collections.abc import Hashable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import shapely

import deepnets4eo.registration.pair as registration_pair
from deepnets4eo.rasters import Layer


def register_once(patch: pytest.MonkeyPatch) -> None:
    """The damage job registers two images with the same options only once."""
    known: dict[Hashable, Any] = {}
    measure = registration_pair.register

    def register(pre: Layer, post: Layer, **options: Any) -> Any:
        key = (_layer_key(pre), _layer_key(post), tuple(sorted(options.items())))
        if key not in known:
            known[key] = measure(pre, post, **options)
        return known[key]

    patch.setattr(registration_pair, "register", register)


def gather_once(patch: pytest.MonkeyPatch) -> None:
    """The evidence of the same outlines on the same images, lying the same, is gathered only once; not where blocks are kept or done elsewhere."""
    from deepnets4eo.damage.site.site import Site
    from deepnets4eo.damage.structure import evidence as structure

    known: dict[Hashable, Any] = {}
    gather = structure.gather

    def gather_or_take(site: Site) -> Any:
        work, inputs = site.work, site.inputs
        if work.part is not None or work.folder("blocks") is not None:
            return gather(site)
        layers = (inputs.pre, inputs.post, inputs.dsm_pre, inputs.dsm_post, inputs.cloud_mask)
        registration = site.registration and (site.registration.matrix, site.registration.usable)
        lying = pickle.dumps((site.position.alignment, site.position.image, registration, inputs.radar))
        outlines = b"".join(shapely.to_wkb(inputs.outlines_px)), tuple(inputs.footprints.frame["id"])
        key = (*(layer and _layer_key(layer) for layer in layers), lying, outlines)
        if key not in known:
            known[key] = gather(site)
        return copy.deepcopy(known[key])

    patch.setattr(structure, "gather", gather_or_take)


def label_once(patch: pytest.MonkeyPatch) -> None:
    """A network with the same weights labels a tile only once."""
    from deepnets4eo.segmenters import NetworkSegmenter

    known: dict[Hashable, np.ndarray] = {}
    weights: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
    label = NetworkSegmenter.predict_raw

    def predict_raw(self: NetworkSegmenter, batch: np.ndarray, *, margin_px: int = 0) -> np.ndarray:
        if self.module not in weights:
            weights[self.module] = _digest(*(one.float().numpy() for one in self.module.state_dict().values()))
        key = (weights[self.module], repr(self.compute), repr(self.network), _digest(batch), margin_px)
        if key not in known:
            known[key] = label(self, batch, margin_px=margin_px)
        return known[key].copy()

    patch.setattr(NetworkSegmenter, "predict_raw", predict_raw)


def build_once(patch: pytest.MonkeyPatch) -> None:
    """A network that a run describes gets its first random weights only once; those of the run are read each time."""
    import torch

    from deepnets4eo.segmenters import segmenter

    known: dict[Hashable, torch.nn.Module] = {}
    build = segmenter.create_from_spec

    def create_from_spec(network: Mapping[str, Any]) -> torch.nn.Module:
        key = (repr(network), str(torch.get_default_device()))
        if key not in known:
            known[key] = build(network)
        return copy.deepcopy(known[key])

    patch.setattr(segmenter, "create_from_spec", create_from_spec)


def _layer_key(layer: Layer) -> Hashable:
    """Pixels, validity and position of a layer."""
    return _digest(*layer.read()), str(layer.grid.crs), tuple(layer.grid.affine)


def _digest(*arrays: np.ndarray) -> str:
    digest = hashlib.sha1()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
