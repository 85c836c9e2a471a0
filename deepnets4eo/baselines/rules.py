"""Expert rules as a segmenter: the first rule of a table that holds sets a pixel's class, with probability 1.

The table is an ordered list of classes, with ranges of quantities of a pixel: bands, colour range, vegetation index,
height above ground, slope, features.

Each quantity is (h, w) float32 in its own unit. Unknown values are NaN, and no rule holds there.

Errors name the rule's number, the key and the nearest key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.features import HOMES, Feature, build_features
from deepnets4eo.baselines.features.height import GROUND_PX, above_ground, slope_deg
from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards import Legend, ShippedModel, is_shipped
from deepnets4eo.errors import InputError, LabelError, Reading, RunError, name_hint
from deepnets4eo.files import plain, read_yaml, write_yaml
from deepnets4eo.options import Section, refused_value
from deepnets4eo.rasters import COLOURS, ROLES, normalised_difference
from deepnets4eo.segmenters import InputSpec
from deepnets4eo.tiling import Tiling


class ExpertRules(TileSegmenter):
    """Ordered rules that classify pixels; `otherwise` applies if no rule matches.

    Source: the expert baseline of Lagrange et al., "Benchmarking classification of earth-observation data: from
    learning explicit features to convolutional networks", IGARSS 2015.

    Parameters
    ----------
    table : rules and thresholds in the bands' own units
    inputs, legend : layers and bands of the images, and the classes
    bands : layer → names of its bands, for files without names
    tiling : how scenes are cut for prediction, by default with a halo that suffices for the rules

    Raises
    ------
    LabelError
        Naming the rule whose class the legend lacks.
    InputError
        Naming the rule whose band is missing.

    Examples
    --------
    ::

        rules = ExpertRules(RuleTable.load("rules-ndsm.yaml"), InputSpec.measure([scene], ["image", "ndsm"]), legend)
    """

    kind = "expert-rules"

    def __init__(
        self,
        table: RuleTable,
        inputs: InputSpec,
        legend: Legend,
        *,
        bands: Mapping[str, Sequence[str]] | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        self.table = table
        self._quantities = {key: quantity(key, table.ndvi_band) for rule in table.rules for key in rule.keys}
        super().__init__(inputs, legend, bands=bands, tiling=Tiling() if tiling is None else tiling)
        blank = Bands(np.zeros((len(self.band_names), 1, 1), np.float32), self.band_names, inputs.gsd_m)
        for number, rule in enumerate(table.rules, start=1):
            for key in rule.keys:
                try:
                    _check_quantity(self._quantities[key], key, blank)
                except InputError as error:
                    raise InputError(f"rule {number} ({rule.name}) cannot use {key}: {error}") from error
        if tiling is None:
            halo_px = max(quantity.halo_px(blank) for quantity in self._quantities.values())
            self.tiling = Tiling(512 + 2 * halo_px, halo_px)
        self._class_indices = [
            _class_index(legend, f"rule {number}", rule.name) for number, rule in enumerate(table.rules, start=1)
        ]
        self._otherwise = _class_index(legend, "otherwise", table.otherwise)

    def masks(self, bands: Bands) -> dict[str, Mask]:
        """Return class → (h, w) bool, True at pixels that match one of its rules.

        Each rule is applied independently of the rules before it, as the benchmark scores."""
        masks: dict[str, Mask] = {}
        for rule, holds in self._rule_masks(bands):
            masks[rule.name] = masks[rule.name] | holds if rule.name in masks else holds
        return masks

    def label(self, image: NDArray[np.float32], margin_px: int) -> NDArray[np.float32]:
        """Return 1 for the class of the first rule that holds, 0 for others. Memory: 5 bytes a pixel and quantity."""
        bands = self.to_physical_units(image)
        classes = np.full(bands.shape, self._otherwise, np.uint8)
        free = np.ones(bands.shape, bool)
        for class_index, (_, holds) in zip(self._class_indices, self._rule_masks(bands), strict=True):
            classes[free & holds] = class_index
            free &= ~holds
        height, width = bands.shape
        classes = classes[margin_px : height - margin_px, margin_px : width - margin_px]
        return (classes == np.arange(self.legend.num_classes, dtype=np.uint8)[:, None, None]).astype(np.float32)

    def save(self, folder: str | Path) -> list[str]:
        """Write the table; returns the file's name."""
        write_yaml(Path(folder) / FILE, self.table.to_dict())
        return [FILE]

    @classmethod
    def restore(
        cls, folder: Path, description: Mapping[str, Any], inputs: InputSpec, legend: Legend, tiling: Tiling
    ) -> ExpertRules:
        """Make the segmenter that `save` wrote. Errors: RunError for a table without rules."""
        try:
            table = RuleTable.from_dict(read_yaml(folder / FILE), where=str(folder / FILE))
        except InputError as error:
            raise RunError(f"{error} Copy the run again.") from error
        return cls(table, inputs, legend, bands=description["bands"], tiling=tiling)

    def _rule_masks(self, bands: Bands) -> Iterator[tuple[Rule, Mask]]:
        """Yield each rule and its mask of matching pixels, (h, w); each quantity is computed once."""
        measured: dict[str, NDArray[np.float32]] = {}
        for rule in self.table.rules:
            for key in rule.keys:
                if key not in measured:
                    measured[key] = self._quantities[key].measure(bands)
            holds = _all_hold(rule.when, measured, bands.shape)
            if rule.any_of:
                holds &= np.any([_all_hold(group, measured, bands.shape) for group in rule.any_of], axis=0)
            yield rule, holds


def _check_quantity(measured: RuleQuantity, key: str, bands: Bands) -> None:
    missing = [role for role in measured.roles(bands) if not bands.has(role)]
    if missing:
        raise InputError(
            f"no band shows {' or '.join(missing)}; there are {', '.join(bands.names)}. Name the bands "
            "(model.bands={image: [red, green, blue]}), give the layer, or remove the rule."
        )
    if key == "slope":
        measured.measure(bands)


def _all_hold(conditions: Conditions, measured: Mapping[str, NDArray[np.float32]], shape: tuple[int, int]) -> Mask:
    holds = np.ones(shape, bool)
    for key, ranges in conditions.items():
        holds &= np.any([bounds.holds(measured[key]) for bounds in ranges], axis=0)
    return holds


def _class_index(legend: Legend, where: str, name: str) -> int:
    try:
        return legend.index(name)
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error


FILE = "rules.yaml"
MODEL = "baselines/expert-rules"

InfraredRole = Literal["nir", "intensity"]

GROUND_M = 40.0  # larger objects count as ground where no band is the ground …
FARTHEST_GROUND_PX = 257  # … up to this size


class Range(Section):
    """Values above one limit, below another, or both; the limits themselves do not belong to it."""

    above: float | None = Field(default=None)
    below: float | None = Field(default=None)

    @model_validator(mode="after")
    def _not_empty(self) -> Range:
        if self.above is None and self.below is None:
            raise ValueError("has neither above nor below. Give one or both, as in {above: 0.6}")
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"takes no value: above {self.above:g} and below {self.below:g}. Swap them")
        return self

    def holds(self, values: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return a mask of the values within the range; NaN is never within."""
        inside = np.ones(values.shape, bool) if self.above is None else values > np.float32(self.above)
        return inside if self.below is None else inside & (values < np.float32(self.below))


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, Mapping) else value


Ranges = Annotated[tuple[Range, ...], BeforeValidator(_as_list), Field(min_length=1)]
Conditions = dict[str, Ranges]


class Rule(Section):
    """One class and its conditions: all conditions of `when` must be met, and one group of `any_of` if there are any.

    A quantity with several ranges must be in one of them. In YAML, conditions are keys next to the class:

        {class: building, ndsm: {above: 2.5}, any_of: [{slope: {below: 30}}, {ndvi: {below: 0.2}}]}
    """

    name: str = Field(alias="class")
    when: Conditions = {}
    any_of: tuple[Conditions, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _conditions_beside_the_class(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        own = {key: values[key] for key in ("class", "any_of") if key in values}
        return own | {"when": {key: value for key, value in values.items() if key not in own}}

    @model_validator(mode="after")
    def _some_condition(self) -> Rule:
        if not self.when and not self.any_of or any(not group for group in self.any_of):
            raise ValueError(
                "has no condition, or an empty group in any_of. Use `otherwise` for pixels where no rule holds"
            )
        return self

    @property
    def groups(self) -> tuple[Conditions, ...]:
        """All groups of conditions in it."""
        return (self.when, *self.any_of)

    @property
    def keys(self) -> list[str]:
        """Names of the quantities that it uses."""
        return list(dict.fromkeys(key for group in self.groups for key in group))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as users write them."""
        groups = [{key: _plain_ranges(ranges) for key, ranges in group.items()} for group in self.any_of]
        when = {key: _plain_ranges(ranges) for key, ranges in self.when.items()}
        return {"class": self.name} | when | ({"any_of": groups} if groups else {})


class RuleTable(Section):
    """Rules in their order, and the class of pixels for which no rule holds.

    ndvi_band : roles of the bands that serve as near infrared in `ndvi`; the first one found is used
    """

    name: str = ""
    source: str = ""
    ndvi_band: Annotated[tuple[InfraredRole, ...], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        default=("nir", "intensity"), min_length=1
    )
    rules: tuple[Rule, ...] = Field(min_length=1)
    otherwise: str

    @classmethod
    @Reading.of_source("Is it the right file? Correct it, or write it again.")
    def load(cls, source: str | Path | None = None) -> RuleTable:
        """Read a table: a YAML file, or one that comes with the toolbox ("rules.yaml", "rules-ndsm.yaml")."""
        own, path = ShippedModel(MODEL).folder, Path(source or FILE)
        if source is None or is_shipped(source, [file.name for file in own.glob("*.yaml")]):
            path = own / path.name
        if not path.is_file():
            raise InputError(f"{source} does not exist. Give a YAML file of rules, or {FILE} or rules-ndsm.yaml.")
        return cls.from_dict(read_yaml(path), where=path.name)

    @classmethod
    def from_dict(cls, values: Any, where: str = "rules") -> RuleTable:
        """Make the table from plain values. Errors: InputError naming rule, key and nearest key."""
        if not isinstance(values, Mapping):
            raise InputError(f"{where} has a {type(values).__name__}, expected `rules` (a list) and `otherwise`.")
        try:
            table = cls.model_validate(values)
        except ValidationError as error:
            raise InputError("\n".join(_explain(detail, values, where) for detail in error.errors())) from error
        for number, rule in enumerate(table.rules, start=1):
            for key in rule.keys:
                try:
                    quantity(key, table.ndvi_band)
                except InputError as error:
                    raise InputError(f"{where}, rule {number} ({rule.name}): {error}") from error
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return plain values as users write them; `from_dict` makes the same table."""
        head = {"name": self.name, "source": self.source, "ndvi_band": list(self.ndvi_band)}
        return plain(head | {"rules": [rule.to_dict() for rule in self.rules], "otherwise": self.otherwise})

    def without(self, *names: str) -> RuleTable:
        """Return the table without the rules of these classes, for data without the bands. Errors: InputError if none is left."""
        kept = [rule.to_dict() for rule in self.rules if rule.name not in names]
        return RuleTable.from_dict(self.to_dict() | {"rules": kept}, where=f"{self.name or 'rules'} without {names}")


def _plain_ranges(ranges: Sequence[Range]) -> Any:
    short = [bounds.model_dump(exclude_none=True) for bounds in ranges]
    return short[0] if len(short) == 1 else short


def _explain(detail: Any, values: Mapping[str, Any], where: str) -> str:
    location = [part for part in detail["loc"] if part not in ("when", "[key]")]
    if len(location) > 1 and location[0] == "rules":
        rule = values["rules"][location[1]]
        class_name = f" ({rule['class']})" if isinstance(rule, Mapping) and "class" in rule else ""
        where, location = f"{where}, rule {location[1] + 1}{class_name}", location[2:]
    key = ".".join(str(part) for part in location if isinstance(part, str))
    if detail["type"] == "extra_forbidden":
        known = ["above", "below"] if "rule " in where else list(RuleTable.model_fields)
        hint = name_hint(location[-1], known)
        return f"{where}: unknown key {key!r}. {hint}"
    if detail["type"] == "missing":
        return f"{where}: {key} is missing. Give it."
    return refused_value(detail, key, where)


class RuleQuantity(NamedTuple):
    """A quantity of rules: how to find its halo, the roles it needs of given bands, and its values (h, w) float32."""

    halo_px: Callable[[Bands], int]
    roles: Callable[[Bands], Sequence[str]]
    measure: Callable[[Bands], FloatImage]


def quantity(name: str, ndvi_band: Sequence[str]) -> RuleQuantity:
    """Return the quantity of a name; ndvi_band : roles that may serve as near infrared, the first one found is used.
    Errors: InputError for an unknown name, with the nearest."""
    own = {
        "colour_range": RuleQuantity(lambda _: 0, lambda _: COLOURS, colour_range),
        "brightness": RuleQuantity(lambda _: 0, lambda _: (), lambda bands: bands.grey()),
        "ndvi": RuleQuantity(
            lambda _: 0, lambda bands: ("red", infrared_role(bands, ndvi_band)), lambda bands: ndvi(bands, ndvi_band)
        ),
        "ndsm": RuleQuantity(
            lambda bands: ground_px(bands) - 1 if ground_px(bands) else 0, height_roles, height_above_ground
        ),
        "slope": RuleQuantity(lambda _: 1, lambda _: ("height",), slope),
    }
    if name in own:
        return own[name]
    if name in ROLES:
        return RuleQuantity(lambda _: 0, lambda _: (name,), lambda bands: bands.pick(name)[0])
    feature_name, dot, column = name.partition(".")
    if dot and feature_name in HOMES:
        (feature,) = build_features([feature_name])
        return RuleQuantity(
            lambda _: feature.halo_px, lambda bands: _check_column(feature, column, bands),
            lambda bands: feature.compute(bands)[feature.columns(bands).index(column)],
        )  # fmt: skip
    if dot:
        return RuleQuantity(
            lambda _: 0, lambda bands: _check_band(name, bands), lambda bands: bands.values[bands.names.index(name)]
        )
    known = sorted({*own, *ROLES, *(f"{feature}.COLUMN" for feature in HOMES)})
    hint = name_hint(name, known, f"Choose from {', '.join(known)}, or a band as LAYER.BAND.")
    raise InputError(f"unknown key {name!r}. {hint}")


def colour_range(bands: Bands) -> FloatImage:
    """Return largest minus smallest of red, green and blue, in the image's own units: small for grey objects."""
    colours = bands.pick(*COLOURS)
    return colours.max(axis=0) - colours.min(axis=0)


def infrared_role(bands: Bands, allowed: Sequence[str]) -> str:
    """Return the first of these roles that a band has, or the first role of all if no band has any of them."""
    return next((role for role in allowed if bands.has(role)), allowed[0])


def ndvi(bands: Bands, ndvi_band: Sequence[str]) -> FloatImage:
    """Return (N − R) / (N + R), −1 to 1; NaN if both are 0. N is near infrared, in the units of red.

    A substitute (LiDAR intensity) has its own units: then both are first scaled to 0–1 of their range.
    """
    role = infrared_role(bands, ndvi_band)
    near, red = bands.pick(role, "red") if role == "nir" else bands.unit(role, "red")
    return normalised_difference(near, red)


def height_roles(bands: Bands) -> Sequence[str]:
    """Return the role of the band that gives height above ground: a dedicated band, else the surface."""
    return ("ndsm",) if bands.has("ndsm") else ("height",)


def ground_px(bands: Bands) -> int:
    """Return the side of the square that the ground is opened with if no band contains the ground; 0 if a band does."""
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


def _check_column(feature: Feature, column: str, bands: Bands) -> Sequence[str]:
    """Return no roles. Errors: InputError for a column that the feature does not have."""
    columns = feature.columns(bands)
    if column not in columns:
        raise InputError(f"feature {feature.name!r} has no column {column!r}. {name_hint(column, columns)}")
    return ()


def _check_band(name: str, bands: Bands) -> Sequence[str]:
    """Return no roles. Errors: InputError for a band that does not exist."""
    if name not in bands.names:
        raise InputError(f"{name!r} is neither a band ({', '.join(bands.names)}) nor a column of {', '.join(HOMES)}.")
    return ()
