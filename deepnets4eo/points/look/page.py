"""A cloud as one page that works offline, drawn in a canvas: at most a million points, about 10 bytes each before they are packed."""

from __future__ import annotations

import base64
import gzip
import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.addresses import file_name_of
from deepnets4eo.cards import VOID, Legend
from deepnets4eo.errors import InputError
from deepnets4eo.files import write_text
from deepnets4eo.outputs import COLOURS, LABELS, Finding, asset_text, fill_template, script_safe
from deepnets4eo.points.cloud import PointCloud
from deepnets4eo.points.evaluation import PREDICTED
from deepnets4eo.points.files import open_cloud
from deepnets4eo.version import __version__

ASSETS = "deepnets4eo.points.look"
SCRIPTS = ("renderer.js", "controls.js", "page.js")
STEPS = 65_535  # of the longest side
SLACK = 10.0  # points drawn beyond `most`, by its root, since draws vary
FRAME_PX = 560


class LookRules:
    """Limits and colours of a page of points."""

    max_points: ClassVar[int] = 1_000_000
    ramp: ClassVar[tuple[int, int]] = (2, 98)  # percentiles of the heights between which colours change
    unknown: ClassVar[dict[str, Any]] = {"name": "no class of the legend", "colour": (90, 90, 90)}


@dataclass(frozen=True, eq=False)
class PointLook:
    """Points to look at; shows itself in a notebook, and `save` writes the page.

    Parameters
    ----------
    cloud : the points that are shown
    legend : names and colours of their classes; None: no classes are shown
    of_points : how many points there are
    title : of the page
    findings : on the classes, which the page states first
    """

    cloud: PointCloud
    legend: Legend | None
    of_points: int
    title: str
    findings: tuple[Finding, ...] = ()

    def save(self, path: str | Path) -> Path:
        """Write the page. Raises OutputError if it cannot be written."""
        return write_text(Path(path), self.html())

    def html(self) -> str:
        """Return the page as text."""
        low = self.cloud.xyz.min(axis=0)
        size = np.ptp(self.cloud.xyz, axis=0)
        step = max(float(size.max()), 1e-6) / STEPS
        heights = np.percentile(self.cloud.xyz[:, 2] - low[2], LookRules.ramp)
        classes, index = self._classes()
        content = {
            "count": len(self.cloud), "size": np.maximum(size, step).tolist(), "step": step, "classes": classes,
            "coloured": self.cloud.colour is not None, "low": heights[0], "high": max(heights[1], heights[0] + step),
        }  # fmt: skip
        planes = [np.rint((self.cloud.xyz - low) / step).T.astype("<u2"), index]
        if self.cloud.colour is not None:
            planes.append(np.ascontiguousarray(self.cloud.colour.T))
        packed = gzip.compress(b"".join(plane.tobytes() for plane in planes), 6, mtime=0)
        facts = [
            f"{len(self.cloud):,} of {self.of_points:,} points",
            " × ".join(f"{side:,.0f}" for side in size) + " m",
        ]
        if self.cloud.crs is not None:
            facts.append(self.cloud.crs.name)
        return fill_template(
            asset_text(ASSETS, "look.html"),
            {
                "TITLE": escape(self.title),
                "FACTS": escape(", ".join(facts)),
                "FINDINGS": "\n".join(map(_paragraph, self.findings)),
                "COLOURS": asset_text("deepnets4eo.outputs", COLOURS),
                "CONTENT": script_safe(content),
                "POINTS": base64.b64encode(packed).decode(),
                "SCRIPT": "\n".join(asset_text(ASSETS, name) for name in SCRIPTS),
                "VERSION": escape(__version__),
            },
        )

    def _repr_html_(self) -> str:
        """Return the page in its own frame."""
        frame = escape(self.html(), quote=True)
        return f'<iframe srcdoc="{frame}" title="{escape(self.title)}" width="100%" height="{FRAME_PX}" style="border:0"></iframe>'

    def _classes(self) -> tuple[list[dict[str, Any]], NDArray[np.uint8]]:
        """Name, colour and number of the classes that occur, and which of them each point has."""
        if self.legend is None or self.cloud.classification is None:
            return [LookRules.unknown | {"points": len(self.cloud)}], np.zeros(len(self.cloud), np.uint8)
        known = self.legend.to_index()[self.cloud.classification]  # void: codes that it lacks
        present, index, counts = np.unique(known, return_inverse=True, return_counts=True)
        classes = [
            (
                LookRules.unknown
                if class_index == VOID
                else {"name": self.legend.names[class_index], "colour": self.legend.classes[class_index].color}
            )
            | {"points": int(count)}
            for class_index, count in zip(present, counts, strict=True)
        ]
        return classes, index.ravel().astype(np.uint8)


def _paragraph(finding: Finding) -> str:
    return f'<p class="{finding.severity}"><b>{escape(LABELS[finding.severity])}</b> {escape(finding.whole)}</p>'


def look_at(
    cloud: PointCloud | str | Path, legend: Legend | None = None, *, most: int = LookRules.max_points
) -> PointLook:
    """Draw an even sample of at most `most` points of a cloud, or of a file read in chunks; the sample is the same every time.

    Parameters
    ----------
    cloud : points, or a file that `open_cloud` reads; a labelled file is shown by its `pred_class`
    legend : by default the legend of a labelled file, or the ASPRS legend if the codes are ASPRS codes
    most : maximum number of points, up to 1,000,000, which make a page of up to 14 MB

    Raises
    ------
    InputError
        The file cannot be read, or `most` exceeds the number of points that a page holds.
    """
    if not 1 <= most <= LookRules.max_points:
        raise InputError(f"most is {most:,} points; a page holds 1 to {LookRules.max_points:,}.")
    findings: tuple[Finding, ...] = ()
    if isinstance(cloud, PointCloud):
        chunks: Iterable[PointCloud] = [cloud]
        title, total = cloud.source, len(cloud)
    else:
        file = open_cloud(cloud)
        if PREDICTED in getattr(file, "extra_dimensions", ()):
            file = open_cloud(cloud, classes=PREDICTED)
            legend = legend or file.stored_legend()
            findings = file.stored_findings()
        chunks, title, total = file.chunks(), file_name_of(cloud), file.point_count
    parts = _drawn(chunks, (most + SLACK * math.sqrt(most)) / max(total, 1), most, title)
    if legend is None and parts.classification is not None and parts.asprs:
        legend = Legend.load("asprs_las")
    return PointLook(parts, legend, total, f"SYNTHETIC {title}" if parts.synthetic else title, findings)


def _drawn(chunks: Iterable[PointCloud], share: float, most: int, source: str) -> PointCloud:
    """Return an even sample of at most `most` counted points. Raises InputError if no point counts."""
    rng = np.random.default_rng(0)
    some = [
        chunk.subset(kept) for chunk in chunks if (kept := chunk.counted & (rng.random(len(chunk)) < share)).any()
    ]  # fmt: skip
    if not some:
        raise InputError(f"{source}: all points are withheld or classified as noise (7, 18). Check its classes.")
    cloud = PointCloud.join(some)
    if len(cloud) <= most:
        return cloud
    return cloud.subset(np.sort(rng.choice(len(cloud), most, replace=False)))
