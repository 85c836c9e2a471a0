"""Features by name: columns computed from the bands of a scene, for classifiers other than networks."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features.feature import DenseFeature, Feature, at_sites
from deepnets4eo.errors import InputError, name_hint

# name in recipes → module of this package and the feature in it; imported when used
HOMES = {
    "hsv": "colour:HSV",
    "hsv_histogram": "colour:HSV_HISTOGRAM",
    "indices": "colour:INDICES",
    "lab": "colour:LAB",
    "extended_profile": "profiles:EXTENDED_PROFILE",
    "height": "height:HEIGHT",
    "normals": "height:NORMALS",
    "hog16": "hog:HOG16",
    "hog32": "hog:HOG32",
    "hsvdgr": "height:HSVDGR",
    "neighbourhood": "feature:NEIGHBOURHOOD",
    "pixels": "feature:PIXELS",
}

__all__ = [
    "HOMES", "DenseFeature", "Feature", "as_features", "at_sites", "build_features", "column_names", "halo_px", "stack",
]  # fmt: skip


def build_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """Return the features of one or more names of `HOMES`. Errors: InputError for an unknown name, with the nearest.

    >>> [feature.name for feature in build_features(["hsv", "hog16"])]
    ['hsv', 'hog16']
    """
    if not names:
        raise InputError(f"no feature was named. Choose from {', '.join(HOMES)}.")
    return tuple(_load(name) for name in names)


def as_features(features: Sequence[str | Feature]) -> tuple[Feature, ...]:
    """Return features; names among them are resolved as by `build_features`.

    >>> len(as_features(["hsv", *build_features(["hog16"])]))
    2
    """
    if not features:
        return build_features([])
    return tuple(_load(feature) if isinstance(feature, str) else feature for feature in features)


def stack(features: Sequence[Feature], bands: Bands, stride_px: int = 1) -> NDArray[np.float32]:
    """Return all features side by side at the sites of a stride in pixels, (F, rows and columns of sites) float32. Errors:
    InputError where a band that a feature needs is missing.

    >>> bands = Bands(np.zeros((3, 8, 8), np.float32), ("image.red", "image.green", "image.blue"))
    >>> stack(build_features(["pixels", "hsv"]), bands, stride_px=2).shape
    (6, 4, 4)
    """
    parts = [feature.compute(bands, stride_px) for feature in features]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def column_names(features: Sequence[Feature], bands: Bands) -> list[str]:
    """Return the names of the columns of `stack`, "feature.column"; of the bands one pixel is enough. Errors: InputError
    where a band that a feature needs is missing.

    >>> bands = Bands(np.zeros((3, 1, 1), np.float32), ("image.red", "image.green", "image.blue"))
    >>> column_names(build_features(["hsv"]), bands)
    ['hsv.hue', 'hsv.saturation', 'hsv.value']
    """
    return [f"{feature.name}.{column}" for feature in features for column in feature.columns(bands)]


def halo_px(features: Sequence[Feature]) -> int:
    """Return the distance in pixels around a site within which pixels affect one or more of the features.

    >>> halo_px(build_features(["pixels", "hog16"]))
    21
    """
    return max(feature.halo_px for feature in features)


def _load(name: str) -> Feature:
    if name not in HOMES:
        raise InputError(f"feature {name!r} is unknown. {name_hint(name, HOMES)}")
    module, attribute = HOMES[name].split(":")
    feature: Feature = getattr(import_module(f"deepnets4eo.baselines.features.{module}"), attribute)
    return feature
