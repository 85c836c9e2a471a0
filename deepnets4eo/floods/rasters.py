"""Rasters of a flood map, made from the output of the prediction, and findings on their reliability from the thresholds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.options import LABELS, PROBABILITY
from deepnets4eo.floods.water_date import WaterDate
from deepnets4eo.outputs import EventInfo, Finding, Phrase
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.tiling import Packed


def write_rasters(labels: Layer, probabilities: Layer, folder: Path, event: EventInfo) -> None:
    """Write flood.tif and probability.tif from the output of the prediction: the probability of water sums both its classes."""
    tags = event.tags | {name: labels.tags[name] for name in ("SYNTHETIC", "SOFTWARE") if name in labels.tags}
    legend = Legend.load("water")
    meaning = Packed.tags("probability of water")
    with (
        CogWriter(folder / LABELS, labels.grid, nodata=VOID, legend=legend, tags=tags) as writer,
        CogWriter(
            folder / PROBABILITY, labels.grid, nodata=Packed.nodata, band_names=["water"], tags=tags | meaning
        ) as packed,
    ):
        for window in writer.windows:
            classes, valid = labels.read(window)
            writer.write(window, np.where(valid, classes[0], VOID).astype(np.uint8))
            shares, known = probabilities.read(window)
            packed.write(window, np.where(known & valid, Packed.one - shares[0], Packed.nodata).astype(np.uint8))


def level_findings(mapper: WaterMapper) -> list[Finding]:
    """Return what the dates before and POST together state against their comparison."""
    roles = {name: "pre" if name == FIRST else name for name in mapper.before}
    return [finding for name, role in roles.items() for finding in mapper.dates[name].findings(role)]


def mode_findings(mapper: WaterMapper) -> list[Finding]:
    """Return a caution if no part of POST has two modes, so that no threshold between water and land was measured."""
    date = mapper.dates[POST]
    fixed = [
        f"{name} {threshold.value:g} dB"
        for name, threshold in date.thresholds.items()
        if threshold is not None and not threshold.measured
    ]
    if not date.thresholds or any(
        threshold is not None and threshold.measured for threshold in date.thresholds.values()
    ):
        return _bounded_finding(date)
    what = date.without_modes()
    if fixed:
        what = Phrase("usual_threshold_taken", {"thresholds": Finding.verbatim(", ".join(fixed))})
    return [Finding("no_two_modes", "caution", {"what": what})]


def _bounded_finding(date: WaterDate) -> list[Finding]:
    """Return a note if the modes of POST are not well separated, and the threshold is not the valley between them."""
    bounded = [
        f"{name} {threshold.value:g} dB"
        for name, threshold in date.thresholds.items()
        if threshold is not None and threshold.bounded
    ]
    if not bounded:
        return []
    return [Finding("threshold_bounded", "note", {"thresholds": Finding.verbatim(", ".join(bounded))})]
