"""Measurements of clouds in addition to coordinates, compared between training clouds, and between them and a cloud to be labelled."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.features.options import FeatureNames, FeatureOptions
from deepnets4eo.points.files import CloudFile
from deepnets4eo.segmenters import LayerInput, ValueRange

log = logging.getLogger(__name__)

INTENSITY = "intensity"
LOOKED_AT_POINTS = 100_000  # points of a file whose values are compared
RGB = ("red", "green", "blue")


def own_names(options: FeatureOptions) -> list[str]:
    """Names of the values of a point itself, as they are features."""
    return [name for group in options.measured for name in FeatureNames.own[group]]


def own_values(cloud: PointCloud, options: FeatureOptions) -> NDArray[np.float32]:
    """Return (C, N) values of the points themselves, in the order of `own_names`."""
    names = [name for group in options.measured for name in FeatureNames.needs[group]]
    columns = [np.asarray(getattr(cloud, name), np.float32).reshape(len(cloud), -1).T for name in names]
    return np.concatenate(columns) if columns else np.empty((0, len(cloud)), np.float32)


def describe_values(values: Mapping[str, Sequence[NDArray[np.float32]]], options: FeatureOptions) -> LayerInput | None:
    """Return a description of the training measurements, from the values (C, n) by cloud; None if nothing was measured.

    Errors: InputError for clouds whose intensities are of two units."""
    ranges = {name: ValueRange.of_pixels(np.concatenate(parts, axis=1)) for name, parts in values.items() if parts}
    known = {name: value_range for name, value_range in ranges.items() if value_range is not None}
    if not known:
        return None
    names = own_names(options)
    if INTENSITY in names:
        _check_intensities(
            {name: float(value_range.sizes[names.index(INTENSITY)]) for name, value_range in known.items()}
        )
    every = np.concatenate([part for parts in values.values() for part in parts], axis=1).astype(np.float64)
    seen = ValueRange.of_pixels(every)
    assert seen is not None  # clouds have points
    return LayerInput.of_physical(names, every.mean(axis=1), every.std(axis=1), seen, seen.constant)


def check_values(file: CloudFile, expected: LayerInput | None, options: FeatureOptions) -> None:
    """Warn if the values of a file differ in order of magnitude from training, or are a single value. Reads its first points."""
    if expected is not None:
        seen = ValueRange.of_pixels(own_values(next(file.chunks(LOOKED_AT_POINTS)), options))
        expected.warn_of_bands(str(file.path), seen)


def with_constants(cloud: PointCloud, expected: LayerInput | None) -> PointCloud:
    """Return the cloud with measurements that were constant in training set to that constant: no other value was learnt."""
    constants = (
        {} if expected is None else {expected.bands[index]: expected.band_low[index] for index in expected.constant}
    )
    changed: dict[str, Any] = {}
    for name, value in constants.items():
        field = "colour" if name in RGB else name
        stored = np.array(changed.get(field, getattr(cloud, field)))
        stored[(slice(None), RGB.index(name)) if name in RGB else slice(None)] = value
        changed[field] = stored
    return replace(cloud, **changed) if changed else cloud


def _check_intensities(sizes: Mapping[str, float]) -> None:
    """Refuse clouds whose intensities are of two units; `sizes`: nearly the largest of each cloud."""
    known = {name: size for name, size in sizes.items() if size > 0}
    if not known:
        return
    least, most = min(known, key=known.__getitem__), max(known, key=known.__getitem__)
    if known[most] < ValueRange.suspect * known[least]:
        return
    text = (
        f"the intensities of the cloud {least} reach {known[least]:.5g}, those of {most} {known[most]:.5g}. Scale them alike (of 8 bits × 257 for "
        "16), or leave them out with features.measured=[returns]"
    )
    if known[most] >= ValueRange.other_unit * known[least]:
        raise InputError(f"{text}; these are of two units.")
    log.warning("%s, where these are of two units.", text)
