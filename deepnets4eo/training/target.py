"""The raster of values that a regression learns from: its section of the recipe, how it is read, and what is wrong with it.

Refuses unknown units, values that cannot be, surfaces for heights above ground, and zeros of unclear meaning.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.cards import Quantity, SplitPart
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.options import Section
from deepnets4eo.rasters import Layer, Scene
from deepnets4eo.read_as import SCORES, Door, check_metres
from deepnets4eo.terrain import check_above_ground, ndsm
from deepnets4eo.tiling import spread_indices
from deepnets4eo.training.recipe import DataSection
from deepnets4eo.training.scenes import NamedScene
from deepnets4eo.training.splits import DataSplit
from deepnets4eo.training.statistics import WINDOW_PX

log = logging.getLogger(__name__)

SceneT = TypeVar("SceneT", bound=NamedScene)

MAX_WINDOWS = 200  # that the scaling is measured on, and that are checked
TOLERATED_SHARE = 0.01  # share of values that cannot be: they are void, with a warning
GAP = 0.05  # of the median of what is above 0: measured ground has heights between 0 and this; where none has, zero may mean no data
SMALL_UNITS = {
    0.001: "millimetres",
    0.01: "centimetres",
    0.1: "decimetres",
}  # what stored numbers may be, by their factor


class TargetSection(Section):
    """The values that are learnt."""

    layer: str = Field(default="height", description="layer of the scenes that holds them")
    quantity: str | dict[str, Any] = Field(
        default="height",
        description="height (above ground, metres, zero is ground), depth (metres, zero is void), or name, unit, low, high and zero",
    )
    terrain: str | None = Field(
        default=None, description="layer that is subtracted: `layer` is a surface model, this the terrain below it"
    )
    factor: float = Field(default=1.0, gt=0, description="unit of a stored number, e.g. 0.001 for millimetres")
    zero: Literal["value", "void"] | None = Field(default=None, description="what 0 means; none: as the quantity says")
    deviation: bool = Field(
        default=False, description="estimate the standard deviation of each value; with the loss gaussian"
    )

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers of the scenes that are read."""
        return (self.layer,) if self.terrain is None else (self.layer, self.terrain)

    def resolve_quantity(self) -> Quantity:
        """Return the quantity with the changes of this section. Raises InputError for an unknown quantity."""
        if isinstance(self.quantity, str) and self.quantity not in Quantity.names():
            raise InputError(
                f"target.quantity={self.quantity} is unknown. {name_hint(self.quantity, Quantity.names())} Or describe it: "
                "{name: biomass, unit: t/ha, low: 0}."
            )
        known = (
            Quantity.from_name(self.quantity)
            if isinstance(self.quantity, str)
            else Quantity.from_dict(self.quantity, "target.quantity")
        )
        return replace(known, zero=self.zero or known.zero, deviation=self.deviation)

    def values(self, layers: Mapping[str, NDArray[Any]], known: Mask) -> FloatImage:
        """Compute values (h, w) float32 from the result of `Scene.read`, in the quantity's unit; NaN for pixels not `known`."""
        first = np.where(known, layers[self.layer][0] * np.float32(self.factor), np.float32(np.nan))
        return first if self.terrain is None else ndsm(first, layers[self.terrain][0] * np.float32(self.factor))

    def known_values(self, quantity: Quantity, layers: Mapping[str, NDArray[Any]], known: Mask) -> FloatImage:
        """Return `values`, with NaN also for values that the quantity (`resolve_quantity`) excludes: void zeros, and values beyond its limits."""
        values = self.values(layers, known)
        return np.where(quantity.known_mask(values), values, np.float32(np.nan))


def place_target(named: SceneT, target: TargetSection, data: DataSection) -> SceneT:
    """Return a scene with its target resampled to its grid by nearest neighbour."""
    layers = {}
    for name in target.layers:
        opened = Layer.open(named.sources[name], bands=data.bands.get(name), nodata=data.nodata.get(name))
        layer = SCORES.check(opened, Door.of_layer(name, on_ground=False)).report()
        layers[name] = layer.on(named.scene.grid, "nearest")
    return replace(named, scene=Scene({**named.scene.layers, **layers}, named.scene.grid))


@dataclass(frozen=True)
class TargetScale:
    """Median (most heights are ground heights) and standard deviation of the values learnt from, and their number."""

    median: float
    std: float
    pixels: int


def measure_target(split: DataSplit[Any], target: TargetSection, quantity: Quantity) -> TargetScale:
    """Measure the scaling of a target over the training part, 1 where all are equal; InputError for values that are wrong."""
    if quantity.unit == "m" and target.factor == 1:
        for layer in (named.scene.layers[name] for named in split.scenes for name in target.layers):
            check_metres(layer)
    kept, infinite, windows = [np.zeros(0, np.float32)], 0, split.windows(SplitPart.train, WINDOW_PX)
    for window in [windows[index] for index in spread_indices(len(windows), MAX_WINDOWS)]:
        sample = split.scenes[window.scene].scene.read(window.window, target.layers)
        mask = split.mask(window.scene, SplitPart.train, window.window)
        values = target.values(sample, sample["valid"] & mask)
        infinite += int((np.isinf(sample[target.layer][0]) & mask).sum())
        kept.append(values[np.isfinite(values)])
    values = np.concatenate(kept)
    check_values(values, target, quantity, _source(split, target), infinite=infinite)
    known = values[quantity.known_mask(values)]
    return TargetScale(float(np.median(known)), float(known.std(dtype=np.float64)) or 1.0, known.size)


def check_values(
    values: NDArray[np.float32], target: TargetSection, quantity: Quantity, source: str, *, infinite: int = 0
) -> None:
    """Refuse values (n,) that are impossible for a quantity, with a remedy. Raises InputError."""
    if infinite > TOLERATED_SHARE * (len(values) + infinite):
        raise InputError(
            f"{source}: {infinite:,} values are infinite; expected numbers. Set them to nodata in the file."
        )
    if not len(values):
        raise InputError(
            f"{source}: no pixel of the training part has a value, all are void. Check nodata (data.nodata) and data.split."
        )
    beyond = values[(values < quantity.low) | (values > quantity.high)]
    if len(beyond) > TOLERATED_SHARE * len(values):
        raise InputError(
            f"{source}: {len(beyond) / len(values):.0%} of the values are not from {quantity.low:g} to {quantity.high:g} "
            f"{quantity.unit}, e.g. {beyond[0]:g}. {_advice(beyond, values, target, quantity)}"
        )
    if len(beyond):
        log.warning(
            "%s: %d values beyond %g to %g %s are void.",
            source,
            len(beyond),
            quantity.low,
            quantity.high,
            quantity.unit,
        )
    _check_zeros(values, target, quantity, source)
    if quantity.name == "height" and target.terrain is None:
        remedy = "Name the terrain model: --set target.terrain=LAYER, or make an nDSM: deepnets4eo layers heights."
        check_above_ground(values, source, remedy)


def _advice(beyond: NDArray[np.float32], values: NDArray[np.float32], target: TargetSection, quantity: Quantity) -> str:
    numbers, counts = np.unique(beyond, return_counts=True)
    if counts.max() > 0.9 * len(beyond):
        return f"If {numbers[counts.argmax()]:g} means no data: --set data.nodata={{{target.layer}: {numbers[counts.argmax()]:g}}}."
    if quantity.unit == "m" and target.factor == 1:
        small = [
            f"{unit} (--set target.factor={factor:g})" for factor, unit in SMALL_UNITS.items()
            if (quantity.known_mask(values * factor) | (values == 0)).mean() > 1 - TOLERATED_SHARE
        ]  # fmt: skip
        if small:
            return f"They would be possible in {' or '.join(small)}."
    return "Check unit and nodata, or set other limits: --set target.quantity={name: …, low: …, high: …}."


def _check_zeros(values: NDArray[np.float32], target: TargetSection, quantity: Quantity, source: str) -> None:
    """Refuse zeros that the recipe does not explain, if they seem to mean no data instead of a value, or the reverse."""
    zeros, above = values == 0, values > 0
    gap = GAP * float(np.median(values[above])) if above.any() else 0.0
    near = above & (values <= gap)
    if quantity.zero == "void" and zeros.all():
        raise InputError(f"{source}: all values are 0, which is void here. If 0 is a value: --set target.zero=value.")
    if target.zero is not None or not TOLERATED_SHARE < zeros.mean() < 1:
        return
    if quantity.zero == "value" and target.terrain is None and not near.any():  # a surface on its terrain is 0 above it
        raise InputError(
            f"{source}: {zeros.mean():.0%} of the values are 0, and none lies between 0 and {gap:.2g}: do zeros mean {quantity.name} 0, as "
            "of ground, or no data? Say so: --set target.zero=value or --set target.zero=void."
        )
    if quantity.zero == "void" and near.any():
        raise InputError(
            f"{source}: {zeros.mean():.0%} of the values are 0, others just above; as {quantity.name}, zeros are void. Say what they mean: "
            "--set target.zero=void or --set target.zero=value."
        )


def _source(split: DataSplit[Any], target: TargetSection) -> str:
    first = split.scenes[0].scene.layers[target.layer].source
    return f"layer {target.layer!r} ({first}{'' if len(split.scenes) == 1 else f' and {len(split.scenes) - 1} more'})"
