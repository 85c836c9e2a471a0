"""Mean spectra of the classes of a split with their spread, as a table and as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.cards import VOID, Legend, SplitPart
from deepnets4eo.display import drawn_text
from deepnets4eo.outputs import csv_text
from deepnets4eo.rasters import MomentSums
from deepnets4eo.training import DataSplit, LabelledScene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ_PX = 128
COLUMNS, WIDE_IN, HIGH_IN = 4, 3.4, 2.3
GAP = 4.0  # times the usual distance of two bands: bands were removed in between, and no line is drawn


@dataclass(frozen=True)
class ClassSpectra:
    """Spectra of each class by split (0 learnt from, 1 withheld).

    count : (2, K) pixels
    mean, deviation : (2, K, B) in the units of the cube, NaN without pixels
    wavelengths_nm : (B,) where the cube lists them
    """

    legend: Legend
    bands: Sequence[int]
    wavelengths_nm: Floats | None
    count: Indices
    mean: Floats
    deviation: Floats

    @classmethod
    def measure(cls, split: DataSplit[LabelledScene], layer: str) -> ClassSpectra:
        """Read each labelled window of a layer once, by windows of 128 px."""
        first, legend = split.scenes[0].scene.layers[layer], split.scenes[0].labels.legend
        sums = [[MomentSums() for _ in range(legend.num_classes)] for _ in range(2)]
        for number, named in enumerate(split.scenes):
            cube = named.scene.layers[layer]
            for window in cube.blocks(READ_PX):
                labels = named.labels.reader.read(window)
                if (labels == VOID).all():
                    continue
                data, valid = cube.read(window)
                for part, of_part in zip((SplitPart.train, SplitPart.val), sums, strict=True):
                    inside = np.where(valid & split.mask(number, part, window), labels, VOID)
                    for index in np.unique(inside[inside != VOID]):
                        of_part[index].add(data[:, inside == index])
        count = np.array([[sums_of_class.count for sums_of_class in of_part] for of_part in sums])
        mean, deviation = np.full((2, *count.shape, first.count), np.nan)
        for cell in np.argwhere(count):
            moments = sums[cell[0]][cell[1]].moments()
            mean[tuple(cell)], deviation[tuple(cell)] = (
                moments.mean,
                np.sqrt(np.maximum(np.diag(moments.covariance), 0)),
            )
        return cls(legend, first.bands, first.wavelengths_nm, count, mean, deviation)

    @property
    def has_wavelengths(self) -> bool:
        """Return whether every band has a wavelength."""
        return self.wavelengths_nm is not None and bool(np.isfinite(self.wavelengths_nm).all())

    def csv(self) -> str:
        """Return one row per class, part and band: wavelength, mean, deviation, pixels."""
        rows: list[list[Any]] = [["class", "part", "band", "wavelength_nm", "mean", "deviation", "pixels"]]
        nm = self.wavelengths_nm if self.wavelengths_nm is not None else np.full(len(self.bands), np.nan)
        for index, name in enumerate(self.legend.names):
            for part, part_name in enumerate(("learnt", "withheld")):
                if not self.count[part, index]:
                    continue
                columns = zip(self.bands, nm, self.mean[part, index], self.deviation[part, index], strict=True)
                rows += [
                    [name, part_name, band, "" if np.isnan(wavelength) else f"{wavelength:.6g}", f"{mean:.6g}", f"{spread:.6g}",
                     int(self.count[part, index])]
                    for band, wavelength, mean, spread in columns
                ]  # fmt: skip
        return csv_text(rows)

    def figure(self, title: str = "") -> Figure:
        """Draw one panel a class: mean and one standard deviation of training pixels, mean of those withheld dashed."""
        from matplotlib.figure import Figure

        classes = [index for index in range(self.legend.num_classes) if self.count[:, index].any()]
        columns = min(COLUMNS, len(classes))
        rows = -(-len(classes) // columns)
        figure = Figure(figsize=(max(WIDE_IN * columns, 6.8), HIGH_IN * rows + 0.8), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        x, order = self._axis()
        for axes, index in zip(panels, classes, strict=False):
            color = tuple(np.array(self.legend.colors[index]) / 255)
            mean, spread = self.mean[0, index][order], self.deviation[0, index][order]
            axes.fill_between(x, *_with_gaps(x, mean - spread, mean + spread), color=color, alpha=0.3, linewidth=0)
            axes.plot(x, _with_gaps(x, mean)[0], color=color, linewidth=1.6, label="learnt, ± 1 sd")
            withheld = self.mean[1, index][order]
            axes.plot(x, _with_gaps(x, withheld)[0], color="0.25", linewidth=0.9, linestyle="--", label="withheld")
            learnt, tested = self.count[:, index]
            axes.set_title(
                f"{drawn_text(self.legend.names[index])}\n{learnt:,} learnt, {tested:,} withheld px", fontsize=8
            )
            axes.grid(alpha=0.25)
            axes.tick_params(labelsize=7)
        for axes in panels[len(classes) :]:
            axes.axis("off")
        figure.supxlabel("wavelength, nm" if self.has_wavelengths else "band", fontsize=9)
        figure.supylabel("value of the cube", fontsize=9)
        figure.legend(
            *panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8, frameon=False
        )
        if title:
            figure.suptitle(drawn_text(title), fontsize=10, x=0.01, ha="left")
        return figure

    def _axis(self) -> tuple[Floats, Indices]:
        """Values of the x axis, ascending, and the order of the bands along it."""
        values = self.wavelengths_nm if self.wavelengths_nm is not None and self.has_wavelengths else self.bands
        x = np.asarray(values, np.float64)
        order = np.argsort(x, kind="stable")
        return x[order], order


def _with_gaps(x: Floats, *lines: Floats) -> list[Floats]:
    """Return the lines with NaN at the first band after a gap in x."""
    steps = np.diff(x, prepend=x[0])
    usual = np.median(steps[1:]) if len(x) > 1 else 0.0
    return [np.where(steps > GAP * max(usual, 1e-9), np.nan, line) for line in lines]
