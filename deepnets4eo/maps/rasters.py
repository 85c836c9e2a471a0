"""Rasters of a map of regions, made from what the prediction wrote: labels with their legend, and a score of every pixel."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import CogWriter, Layer
from deepnets4eo.tiling import Packed


def origin_tags(layer: Layer, *further: str) -> dict[str, str]:
    """Return the tags that state the origin of a raster, for rasters made from it. further : names of tags, such as RUN"""
    return {name: layer.tags[name] for name in ("SYNTHETIC", *further, "SOFTWARE") if name in layer.tags}


def write_labels_and_score(
    labels: Layer,
    probabilities: Layer,
    labels_path: Path,
    score_path: Path,
    *,
    legend: Legend,
    name: str,
    event: EventInfo,
) -> None:
    """Write the labels of a map, and the probability that a pixel is of any class but the first.

    Parameters
    ----------
    labels : values of the legend, void in pixels that were not seen
    probabilities : of the classes, one band per class, packed as bytes
    labels_path, score_path : the files
    legend : of the labels; its first class is the ground that the map is not about
    name : of the band of the score, such as "water"
    event : what the map is of, written into the tags
    """
    tags = event.tags | origin_tags(labels)
    meaning = Packed.tags(f"probability of {name}")
    with ExitStack() as stack:
        writer = stack.enter_context(CogWriter(labels_path, labels.grid, nodata=VOID, legend=legend, tags=tags))
        packed = stack.enter_context(
            CogWriter(score_path, labels.grid, nodata=Packed.nodata, band_names=[name], tags=tags | meaning)
        )
        for window in writer.windows:
            classes, valid = labels.read(window)
            writer.write(window, np.where(valid, classes[0], VOID).astype(np.uint8))
            shares, known = probabilities.read(window)
            packed.write(window, np.where(known & valid, Packed.one - shares[0], Packed.nodata).astype(np.uint8))
