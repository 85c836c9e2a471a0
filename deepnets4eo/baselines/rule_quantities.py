"""Quantities of expert rules by name: bands, colour range, vegetation index, height above ground, slope, features.

Each is (h, w) float32 of `Bands` in their own units; unknown values are NaN, for which no rule holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deepnets4eo.arrays import FloatImage
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import HOMES, build_features
from deepnets4eo.baselines.features.feature import Feature
from deepnets4eo.baselines.features.height import GROUND_PX, above_ground, slope_deg
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.rasters.band_roles import COLOURS, ROLES, normalised_difference

GROUND_M = 40.0  # larger objects count as ground where no band is the ground …
FARTHEST_GROUND_PX = 257  # … up to this size


class Quantity(NamedTuple):
    """A quantity of rules: how to find its halo, the roles it needs of given bands, and its values (h, w) float32."""

    halo_px: Callable[[Bands], int]
    roles: Callable[[Bands], Sequence[str]]
    measure: Callable[[Bands], FloatImage]


def quantity(name: str, ndvi_band: Sequence[str]) -> Quantity:
    """Return the quantity of a name; ndvi_band : roles that may serve as near infrared, the first one found is used.

    Errors: InputError for an unknown name, with the nearest."""
    own = {
        "colour_range": Quantity(_no_halo, lambda _: COLOURS, colour_range),
        "brightness": Quantity(_no_halo, lambda _: (), lambda bands: bands.grey()),
        "ndvi": Quantity(
            _no_halo, lambda bands: ("red", infrared(bands, ndvi_band)), lambda bands: ndvi(bands, ndvi_band)
        ),
        "ndsm": Quantity(
            lambda bands: ground_px(bands) - 1 if ground_px(bands) else 0, height_roles, height_above_ground
        ),
        "slope": Quantity(lambda _: 1, lambda _: ("height",), slope),
    }
    if name in own:
        return own[name]
    if name in ROLES:
        return Quantity(_no_halo, lambda _: (name,), lambda bands: bands.pick(name)[0])
    feature_name, dot, column = name.partition(".")
    if dot and feature_name in HOMES:
        (feature,) = build_features([feature_name])
        return Quantity(lambda _: feature.halo_px, lambda bands: _check_column(feature, column, bands), lambda bands: _feature_column(feature, column, bands))  # fmt: skip
    if dot:
        return Quantity(
            _no_halo, lambda bands: _check_band(name, bands), lambda bands: bands.values[bands.names.index(name)]
        )
    known = sorted({*own, *ROLES, *(f"{feature}.COLUMN" for feature in HOMES)})
    hint = name_hint(name, known, f"Choose from {', '.join(known)}, or a band as LAYER.BAND.")
    raise InputError(f"unknown key {name!r}. {hint}")


def colour_range(bands: Bands) -> FloatImage:
    """Return largest minus smallest of red, green and blue, in the image's own units: small for grey objects."""
    colours = bands.pick(*COLOURS)
    return colours.max(axis=0) - colours.min(axis=0)


def infrared(bands: Bands, allowed: Sequence[str]) -> str:
    """Return the first of these roles that a band has; the first of all where none has."""
    return next((role for role in allowed if bands.has(role)), allowed[0])


def ndvi(bands: Bands, ndvi_band: Sequence[str]) -> FloatImage:
    """Return (N − R) / (N + R), −1 to 1; NaN where both are 0. N is near infrared, in red's units.

    A substitute (LiDAR intensity) has its own units: then both are first scaled to 0–1 of their range."""
    role = infrared(bands, ndvi_band)
    near, red = bands.pick(role, "red") if role == "nir" else bands.unit(role, "red")
    return normalised_difference(near, red)


def height_roles(bands: Bands) -> Sequence[str]:
    """Return the role from which height above ground is computed: a band of its own, else the surface."""
    return ("ndsm",) if bands.has("ndsm") else ("height",)


def ground_px(bands: Bands) -> int:
    """Return the side of the square with which the ground is opened where no band is the ground; 0 where one is."""
    if bands.has("ndsm") or bands.has("ground"):
        return 0
    side_px = GROUND_M / bands.gsd_m if bands.gsd_m else GROUND_PX
    return 2 * (int(min(max(side_px, GROUND_PX), FARTHEST_GROUND_PX)) // 2) + 1


def height_above_ground(bands: Bands) -> FloatImage:
    """Return metres above ground: the band `ndsm`, else height minus ground, else minus the height's opening by a square."""
    return above_ground(bands, ground_px(bands) or GROUND_PX)


def slope(bands: Bands) -> FloatImage:
    """Return the slope of the surface in degrees, 0 flat. Errors: InputError without a ground size."""
    if bands.gsd_m is None:
        raise InputError(
            "slope needs the ground size of a pixel, which is not known for scenes without CRS. Leave it out."
        )
    return slope_deg(bands)


def _no_halo(_: Bands) -> int:
    """Return 0: only the pixel itself is used."""
    return 0


def _check_column(feature: Feature, column: str, bands: Bands) -> Sequence[str]:
    """Return no roles. Errors: InputError for a column that the feature does not have."""
    columns = feature.columns(bands)
    if column not in columns:
        raise InputError(f"feature {feature.name!r} has no column {column!r}. {name_hint(column, columns)}")
    return ()


def _feature_column(feature: Feature, column: str, bands: Bands) -> FloatImage:
    return feature.compute(bands)[feature.columns(bands).index(column)]


def _check_band(name: str, bands: Bands) -> Sequence[str]:
    """Return no roles. Errors: InputError for a band that does not exist."""
    if name not in bands.names:
        raise InputError(f"{name!r} is neither a band ({', '.join(bands.names)}) nor a column of {', '.join(HOMES)}.")
    return ()
