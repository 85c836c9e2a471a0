"""Selection and names of the computed features."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from deepnets4eo.options import Section

Measured = Literal["intensity", "returns", "colour", "near_infrared"]


class FeatureNames:
    """Names of the features of neighbourhoods, and the measurements that they need."""

    needs: ClassVar[dict[str, tuple[str, ...]]] = {
        "intensity": ("intensity",),
        "returns": ("return_number", "number_of_returns"),
        "colour": ("colour",),
        "near_infrared": ("near_infrared",),
    }  # name in options → measurements of a cloud
    shapes: ClassVar[tuple[str, ...]] = (
        "linearity", "planarity", "sphericity", "omnivariance", "anisotropy", "eigenentropy", "eigensum", "surface_variation",
        "verticality", "line_verticality",
    )  # fmt: skip
    moments: ClassVar[tuple[str, ...]] = (
        "moment_1",
        "moment_2",
        "moment_3",
        "vertical_moment",
        "vertical_moment_squared",
    )
    geometry: ClassVar[tuple[str, ...]] = (*shapes, *moments, "ratio_2d", "density")
    means: ClassVar[dict[str, tuple[str, ...]]] = needs | {
        "returns": ("return_ratio",),
        "colour": ("red", "green", "blue"),
    }
    own: ClassVar[dict[str, tuple[str, ...]]] = means | {"returns": needs["returns"]}


LOWEST_REACH = 1.3  # of wide cylinders, whose columns reach further than the radius
COLUMNS = ("height_range", "height_std", "above_lowest", "below_highest", "density_2d")


class FeatureOptions(Section):
    """Neighbourhoods, and what is measured in them.

    Examples
    --------
    >>> FeatureOptions(radii_m=(1.0, 2.0)).reach_m
    130.0
    >>> FeatureOptions(radii_m=(1.0, 2.0), lowest_radius_m=0).reach_m
    5.0
    """

    radii_m: tuple[float, ...] = Field(
        default=(1.0, 2.0, 4.0), min_length=1, description="of the spheres, a scale each; of aerial scans 1, 2 and 4"
    )
    cells_per_radius: float = Field(
        default=5.0, ge=2, le=12, description="a scale is thinned to a point a voxel of radius / cells_per_radius"
    )
    cylinder_radii_m: tuple[float, ...] = Field(
        default=(2.0, 5.0), description="of vertical cylinders in which heights are compared; empty: none"
    )
    lowest_radius_m: float = Field(
        default=100.0, ge=0, description="of the cylinder above whose lowest point heights are taken; 0: none"
    )
    measured: tuple[Measured, ...] = Field(
        default=("intensity", "returns"), description="beside coordinates: intensity, returns, colour, near_infrared"
    )
    above_ground: bool = Field(default=True, description="whether the height above ground is a feature")

    @model_validator(mode="after")
    def _growing(self) -> FeatureOptions:
        for name, radii in (("radii_m", self.radii_m), ("cylinder_radii_m", self.cylinder_radii_m)):
            if list(radii) != sorted({*radii}) or min(radii, default=1) <= 0:
                raise ValueError(f"has {name}={radii}; expected radii above 0, each larger than the one before")
        return self

    @property
    def reach_m(self) -> float:
        """Return the distance around a point within which others matter for its features but the height above ground, in metres."""
        return max(*self.radii_m, *self.cylinder_radii_m, LOWEST_REACH * self.lowest_radius_m)

    @property
    def needs(self) -> tuple[str, ...]:
        """Measurements of a cloud that the features are made of."""
        return tuple(name for group in self.measured for name in FeatureNames.needs[group])


def feature_names(options: FeatureOptions) -> list[str]:
    """Return the names of the columns that `point_features` computes, in order.

    Parameters
    ----------
    options : scales and measurements

    Returns
    -------
    As `linearity@1m`, for features of a neighbourhood; as `intensity`, for features of the point itself.

    Examples
    --------
    >>> feature_names(FeatureOptions(radii_m=(0.5,), measured=()))[:2]
    ['linearity@0.5m', 'planarity@0.5m']
    """
    means = [
        f"{name}_{kind}" for group in options.measured for name in FeatureNames.means[group] for kind in ("mean", "std")
    ]
    names = [f"{name}@{radius:g}m" for radius in options.radii_m for name in (*FeatureNames.geometry, *means)]
    names += [f"{name}@{radius:g}m" for radius in options.cylinder_radii_m for name in COLUMNS]
    names += [f"height_above_lowest@{options.lowest_radius_m:g}m"] if options.lowest_radius_m else []
    names += [name for group in options.measured for name in FeatureNames.own[group]]
    return [*names, "height_above_ground"] if options.above_ground else names
