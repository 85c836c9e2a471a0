"""Expert rules as a segmenter: the first rule of a table that holds sets a pixel's class, with probability 1."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Mask
from deepnets4eo.baselines.bands import Bands
from deepnets4eo.baselines.rule_quantities import Quantity, quantity
from deepnets4eo.baselines.rule_table import FILE, Conditions, Rule, RuleTable
from deepnets4eo.baselines.tile_segmenter import TileSegmenter
from deepnets4eo.cards.legend import Legend
from deepnets4eo.errors import InputError, LabelError, RunError
from deepnets4eo.files import read_yaml, write_yaml
from deepnets4eo.segmenters.inputs import InputSpec
from deepnets4eo.tiling import Tiling


class ExpertRules(TileSegmenter):
    """Rules in order; `otherwise` where none holds.

    Source: the expert baseline of Lagrange et al., "Benchmarking classification of earth-observation data: from
    learning explicit features to convolutional networks", IGARSS 2015.

    Parameters
    ----------
    table
        Rules and thresholds in the bands' own units.
    inputs, legend
        Layers and bands of the images, and the classes.
    bands
        Layer → names of its bands, for files without names.
    tiling
        How scenes are cut for prediction, by default with a halo that suffices for the rules.

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
        self._check_bands(blank)
        if tiling is None:
            halo_px = max(one.halo_px(blank) for one in self._quantities.values())
            self.tiling = Tiling(512 + 2 * halo_px, halo_px)
        self._class_indices = [
            _class_index(legend, f"rule {number}", rule.name) for number, rule in enumerate(table.rules, start=1)
        ]
        self._otherwise = _class_index(legend, "otherwise", table.otherwise)

    def masks(self, bands: Bands) -> dict[str, Mask]:
        """Return class → (h, w) bool where one of its rules holds, independent of the rules before it, as the benchmark
        scores."""
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
        """Yield each rule and where it holds, (h, w); each quantity is computed once."""
        measured: dict[str, NDArray[np.float32]] = {}
        for rule in self.table.rules:
            for key in rule.keys:
                if key not in measured:
                    measured[key] = self._quantities[key].measure(bands)
            holds = _all_hold(rule.when, measured, bands.shape)
            if rule.any_of:
                holds &= np.any([_all_hold(group, measured, bands.shape) for group in rule.any_of], axis=0)
            yield rule, holds

    def _check_bands(self, bands: Bands) -> None:
        for number, rule in enumerate(self.table.rules, start=1):
            for key in rule.keys:
                try:
                    _check_quantity(self._quantities[key], key, bands)
                except InputError as error:
                    raise InputError(f"rule {number} ({rule.name}) cannot use {key}: {error}") from error


def _check_quantity(measured: Quantity, key: str, bands: Bands) -> None:
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
        holds &= np.any([one.holds(measured[key]) for one in ranges], axis=0)
    return holds


def _class_index(legend: Legend, where: str, name: str) -> int:
    try:
        return legend.index(name)
    except LabelError as error:
        raise LabelError(f"{where}: {error}") from error
