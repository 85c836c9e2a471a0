"""What expert rules measure on each pixel: bands, colour range, vegetation index, height above ground, slope, features.

Takes `Bands` in their own units; gives (h, w) float32 by the quantity's name. Where a value is not known it is NaN,
and no rule holds. Refuses names it does not know, with the nearest, and bands that are missing.
"""

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

GROUND_M = 40.0  # what is wider and longer is taken for ground where no band shows it …
FARTHEST_GROUND_PX = 257  # … but no more than this is looked at


class Quantity(NamedTuple):
    """How far it looks around, the roles it needs of these bands, and its values (h, w) float32."""

    halo_px: Callable[[Bands], int]
    roles: Callable[[Bands], Sequence[str]]
    measure: Callable[[Bands], FloatImage]


def quantity(name: str, ndvi_band: Sequence[str]) -> Quantity:
    """The quantity of a name; ndvi_band : roles that may stand for near infrared, the first that is there is used.

    Errors: InputError for an unknown name, with the nearest.
    """
    own = {
        "colour_range": Quantity(_nothing, lambda _: COLOURS, colour_range),
        "brightness": Quantity(_nothing, lambda _: (), lambda bands: bands.grey()),
        "ndvi": Quantity(
            _nothing, lambda bands: ("red", infrared(bands, ndvi_band)), lambda bands: ndvi(bands, ndvi_band)
        ),
        "ndsm": Quantity(
            lambda bands: ground_px(bands) - 1 if ground_px(bands) else 0, height_roles, height_above_ground
        ),
        "slope": Quantity(lambda _: 1, lambda _: ("height",), slope),
    }
    if name in own:
        return own[name]
    if name in ROLES:
        return Quantity(_nothing, lambda _: (name,), lambda bands: bands.pick(name)[0])
    feature_name, dot, column = name.partition(".")
    if dot and feature_name in HOMES:
        (feature,) = build_features([feature_name])
        return Quantity(lambda _: feature.halo_px, lambda bands: _found(feature, column, bands), lambda bands: _column(feature, column, bands))  # fmt: skip
    if dot:
        return Quantity(
            _nothing, lambda bands: _named(name, bands), lambda bands: bands.values[bands.names.index(name)]
        )
    known = sorted({*own, *ROLES, *(f"{feature}.COLUMN" for feature in HOMES)})
    hint = name_hint(name, known, f"Choose from {', '.join(known)}, or a band as LAYER.BAND.")
    raise InputError(f"unknown key {name!r}. {hint}")


def colour_range(bands: Bands) -> FloatImage:
    """Largest minus smallest of red, green and blue, in the image's own units: small for grey things."""
    colours = bands.pick(*COLOURS)
    return colours.max(axis=0) - colours.min(axis=0)


def infrared(bands: Bands, allowed: Sequence[str]) -> str:
    """The first of these roles that a band has; the first of all where none has."""
    return next((role for role in allowed if bands.has(role)), allowed[0])


def ndvi(bands: Bands, ndvi_band: Sequence[str]) -> FloatImage:
    """(N − R) / (N + R), −1 to 1; NaN where both are 0.

    N is near infrared, in red's units. Anything else that stands for it (LiDAR intensity) has units of its own: then
    both are first scaled to 0–1 of their range.
    """
    role = infrared(bands, ndvi_band)
    near, red = bands.pick(role, "red") if role == "nir" else bands.unit(role, "red")
    return normalised_difference(near, red)


def height_roles(bands: Bands) -> Sequence[str]:
    """What height above ground is taken from: a band of its own, else the surface."""
    return ("ndsm",) if bands.has("ndsm") else ("height",)


def ground_px(bands: Bands) -> int:
    """Side of the square that the ground is opened with where no band shows it; 0 where one does."""
    if bands.has("ndsm") or bands.has("ground"):
        return 0
    wanted = GROUND_M / bands.gsd_m if bands.gsd_m else GROUND_PX
    return 2 * (int(min(max(wanted, GROUND_PX), FARTHEST_GROUND_PX)) // 2) + 1


def height_above_ground(bands: Bands) -> FloatImage:
    """Metres above ground: the band `ndsm`, else height minus ground, else minus the height's opening by a square."""
    return above_ground(bands, ground_px(bands) or GROUND_PX)


def slope(bands: Bands) -> FloatImage:
    """Slope of the surface in degrees, 0 flat. Errors: InputError without a ground size."""
    if bands.gsd_m is None:
        raise InputError("slope needs the ground size of a pixel, which scenes without CRS do not give. Leave it out.")
    return slope_deg(bands)


def _nothing(_: Bands) -> int:
    """Looks at the pixel alone."""
    return 0


def _found(feature: Feature, column: str, bands: Bands) -> Sequence[str]:
    """No roles; refuses a column that the feature does not have."""
    columns = feature.columns(bands)
    if column not in columns:
        raise InputError(f"feature {feature.name!r} has no column {column!r}. {name_hint(column, columns)}")
    return ()


def _column(feature: Feature, column: str, bands: Bands) -> FloatImage:
    return feature.compute(bands)[feature.columns(bands).index(column)]


def _named(name: str, bands: Bands) -> Sequence[str]:
    """No roles; refuses a band that is not there."""
    if name not in bands.names:
        raise InputError(f"{name!r} is neither a band ({', '.join(bands.names)}) nor a column of {', '.join(HOMES)}.")
    return ()
