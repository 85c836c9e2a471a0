"""Options for labelling a file of points, and the results that were written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from deepnets4eo.options import option_group
from deepnets4eo.outputs import Finding

MAX_PROPAGATED_SHARE = 0.25  # of the labelled points; trees of aerial scans leave 11 to 15 % in no triangle


@option_group
class LabelOptions:
    """Options of `label_cloud`.

    Parameters
    ----------
    replace : whether the classification is overwritten, but at points without label
    crs : CRS of the file, instead of its own
    neighbours : files whose points count in halos only
    memory_bytes : what the work may use
    resume : whether an interrupted job is continued
    overwrite : whether a result that exists is replaced
    """

    replace: bool = False
    crs: str | None = None
    neighbours: tuple[Path, ...] = ()
    memory_bytes: int = Field(default=4_000_000_000, gt=0)
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class LabelResult:
    """Result of labelling a file of points.

    Parameters
    ----------
    path : the labelled file
    points : number of points
    counts : class name → points of that label
    propagated : points that took the label of the nearest labelled point
    without_label : points without a labelled point nearby; withheld points are not counted
    without_colour : points beyond the orthophoto or on its void pixels, which count as black
    noise : points that the file classifies as noise (7, 18 of ASPRS): they took no part and keep their code
    withheld : points that the file marks to be left out: they took no part and have no label
    """

    path: Path
    points: int
    counts: dict[str, int]
    propagated: int
    without_label: int
    without_colour: int = 0
    noise: int = 0
    withheld: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**vars(self), "path": str(self.path), "findings": [finding.to_dict() for finding in self.findings]}

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return the finding that many labels come from a nearby point, such as of points in no triangle of a mesh."""
        labelled = sum(self.counts.values())
        if self.propagated <= MAX_PROPAGATED_SHARE * labelled:
            return ()
        return (
            Finding("points_not_seen", "caution", {"number": self.propagated, "labelled": labelled}, self.propagated),
        )

    def summary(self) -> str:
        """Return the counts in a sentence."""
        shares = ", ".join(f"{name} {count / self.points:.1%}" for name, count in self.counts.items())
        text = f"{self.points:,} points: {shares}. {self.propagated:,} took the label of the nearest labelled point"
        text += f", {self.without_label:,} have none." if self.without_label else "."
        if self.without_colour:
            text += f" {self.without_colour:,} lie beyond the orthophoto and are black."
        if self.noise:
            text += f" {self.noise:,} are classified as noise (7, 18): they took no part and keep their code."
        if self.withheld:
            text += f" {self.withheld:,} are withheld: they took no part and have no label."
        return text
