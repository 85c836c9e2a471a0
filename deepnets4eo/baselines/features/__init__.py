"""Features by name: columns computed from the bands of a scene, for classifiers that are no networks.

`build_features(["hsv", "hog16"])` gives them, `stack(features, bands)` computes them side by side.
"""

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
    "dalal16": "dalal:DALAL16",
    "dalal32": "dalal:DALAL32",
    "gabor": "gabor:GABOR",
    "glcm": "glcm:GLCM",
    "height": "height:HEIGHT",
    "normals": "height:NORMALS",
    "hog16": "hog:HOG16",
    "hog32": "hog:HOG32",
    "hsvdgr": "hsvdgr:HSVDGR",
    "lbp": "lbp:LBP",
    "lbp16": "lbp:LBP16",
    "neighbourhood": "pixels:NEIGHBOURHOOD",
    "pixels": "pixels:PIXELS",
    "attribute_profile": "profiles:ATTRIBUTE_PROFILE",
    "differential_profile": "profiles:DIFFERENTIAL_PROFILE",
}

__all__ = [
    "HOMES", "DenseFeature", "Feature", "as_features", "at_sites", "build_features", "column_names", "halo_px", "stack",
]  # fmt: skip


def build_features(names: Sequence[str]) -> tuple[Feature, ...]:
    """The features of these names. Errors: InputError for an unknown name, with the nearest, or for none."""
    if not names:
        raise InputError(f"no feature was named. Choose from {', '.join(HOMES)}.")
    return tuple(_load(name) for name in names)


def as_features(given: Sequence[str | Feature]) -> tuple[Feature, ...]:
    """Features, some of them given by name. Errors: InputError for an unknown name, or for none."""
    if not given:
        return build_features([])
    return tuple(_load(one) if isinstance(one, str) else one for one in given)


def stack(features: Sequence[Feature], bands: Bands, stride_px: int = 1) -> NDArray[np.float32]:
    """All features side by side at the sites of a stride, (F, h, w) float32."""
    return np.concatenate([feature.compute(bands, stride_px) for feature in features])


def column_names(features: Sequence[Feature], bands: Bands) -> list[str]:
    """Names of the columns of `stack`, "feature.column". Errors: InputError where a band is missing."""
    return [f"{feature.name}.{column}" for feature in features for column in feature.columns(bands)]


def halo_px(features: Sequence[Feature]) -> int:
    """How far the features look around, in pixels."""
    return max(feature.halo_px for feature in features)


def _load(name: str) -> Feature:
    if name not in HOMES:
        raise InputError(f"feature {name!r} is unknown. {name_hint(name, HOMES)}")
    module, attribute = HOMES[name].split(":")
    feature: Feature = getattr(import_module(f"deepnets4eo.baselines.features.{module}"), attribute)
    return feature
