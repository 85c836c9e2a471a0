"""Mean and spread of the spectra of each class, of what was learnt from and of what was withheld, counted by windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.cards.legend import VOID, Legend
from deepnets4eo.grid import blocks
from deepnets4eo.outputs.csv_cells import csv_text
from deepnets4eo.training.scenes import LabelledScene
from deepnets4eo.training.splits import TRAIN, VAL, DataSplit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

READ_PX = 128
COLUMNS, WIDE_IN, HIGH_IN = 4, 3.4, 2.3
GAP = 4.0  # times the usual distance of two bands: bands were removed in between, and no line is drawn


@dataclass(frozen=True)
class ClassSpectra:
    """Spectra of each class by split (0 learnt from, 1 withheld): pixels (2, K), mean and deviation (2, K, B) in the
    units of the cube, NaN without pixels, and wavelengths (B,) where the cube lists them."""

    legend: Legend
    bands: Sequence[int]
    wavelengths_nm: NDArray[np.float64] | None
    count: NDArray[np.int64]
    mean: Floats
    deviation: Floats

    @classmethod
    def measure(cls, split: DataSplit[LabelledScene], layer: str) -> ClassSpectra:
        """Read each labelled window of a layer once, by windows of 128 px."""
        first, legend = split.scenes[0].scene.layers[layer], split.scenes[0].labels.legend
        sums = [[_Sums() for _ in range(legend.num_classes)] for _ in range(2)]
        for number, named in enumerate(split.scenes):
            cube = named.scene.layers[layer]
            for window in blocks(cube.shape, READ_PX):
                labels = named.labels.reader.read(window)
                if (labels == VOID).all():
                    continue
                data, valid = cube.read(window)
                for part, of_part in zip((TRAIN, VAL), sums, strict=True):
                    inside = np.where(valid & split.mask(number, part, window), labels, VOID)
                    for index in np.unique(inside[inside != VOID]):
                        of_part[index].add(data[:, inside == index].T)
        nothing = np.full(first.count, np.nan)
        return cls(
            legend, first.bands, first.wavelengths_nm,
            np.array([[one.count for one in of_part] for of_part in sums]),
            np.array([[one.mean if one.count else nothing for one in of_part] for of_part in sums]),
            np.array([[one.deviation if one.count else nothing for one in of_part] for of_part in sums]),
        )  # fmt: skip

    @property
    def has_wavelengths(self) -> bool:
        """Whether every band has a wavelength."""
        return self.wavelengths_nm is not None and bool(np.isfinite(self.wavelengths_nm).all())

    def csv(self) -> str:
        """One row a class, part and band: wavelength, mean, deviation, pixels."""
        rows: list[list[Any]] = [["class", "part", "band", "wavelength_nm", "mean", "deviation", "pixels"]]
        nm = self.wavelengths_nm if self.wavelengths_nm is not None else np.full(len(self.bands), np.nan)
        for index, name in enumerate(self.legend.names):
            for part, part_name in enumerate(("learnt", "withheld")):
                if not self.count[part, index]:
                    continue
                columns = zip(self.bands, nm, self.mean[part, index], self.deviation[part, index], strict=True)
                rows += [
                    [name, part_name, band, "" if np.isnan(at) else f"{at:.6g}", f"{mean:.6g}", f"{spread:.6g}",
                     int(self.count[part, index])]
                    for band, at, mean, spread in columns
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
            axes.set_title(f"{self.legend.names[index]}\n{learnt:,} learnt, {tested:,} withheld px", fontsize=8)
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
            figure.suptitle(title, fontsize=10, x=0.01, ha="left")
        return figure

    def _axis(self) -> tuple[Floats, NDArray[np.int64]]:
        """Values of the x axis, ascending, and the order of the bands along it."""
        values = self.wavelengths_nm if self.wavelengths_nm is not None and self.has_wavelengths else self.bands
        x = np.asarray(values, np.float64)
        order = np.argsort(x, kind="stable")
        return x[order], order


class _Sums:
    """Count, mean and sum of squares of spectra that come in portions (Chan, Golub and LeVeque 1983)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self._squares: Any = 0.0

    def add(self, spectra: NDArray[Any]) -> None:
        """spectra : (n, B)"""
        own = spectra.mean(axis=0, dtype=np.float64)
        total = self.count + len(spectra)
        step = own - self.mean
        self._squares = self._squares + np.square(spectra - own).sum(axis=0)
        self._squares = self._squares + step**2 * self.count * len(spectra) / total
        self.mean, self.count = self.mean + step * len(spectra) / total, total

    @property
    def deviation(self) -> Floats:
        """(B,), of a population."""
        spread: Floats = np.sqrt(self._squares / self.count)
        return spread


def _with_gaps(x: Floats, *lines: Floats) -> list[Floats]:
    """The lines, NaN at the first band after a gap in x."""
    steps = np.diff(x, prepend=x[0])
    usual = np.median(steps[1:]) if len(x) > 1 else 0.0
    return [np.where(steps > GAP * max(usual, 1e-9), np.nan, line) for line in lines]
