"""Share of each class of a label raster in each building's outline on the post image.

Takes any run that labels pixels, a classical baseline or a network, or labels of the post image that are there already,
as of a fusion with a map; returns evidence that is shown beside the decision. The decision does not use it: it is not
known beforehand which classes indicate damage.
Refuses runs whose inputs the job does not have, and labels of another site or without a legend.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.cards.legend import Legend
from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.damage.vocabulary import ASSESSED
from deepnets4eo.errors import InputError, LabelError, RunError
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.prediction.preparation import prepare_scene
from deepnets4eo.rasters.label_values import hidden_class_note
from deepnets4eo.rasters.scene import Layer, Scene
from deepnets4eo.segmenters.run import Run, load_run
from deepnets4eo.zonal import class_counts

log = logging.getLogger(__name__)

PREFIX = "ev_class_"


@dataclass(frozen=True)
class ClassMapSource:
    """Where labels come from: their legend, a name for messages, and `label(folder, workers)`, which may write into the folder."""

    legend: Legend
    name: str
    label: Callable[[Path, int], Layer]


def open_class_map_source(source: str | Path, post: Layer, dsm_post: Layer | None) -> ClassMapSource:
    """A run's folder or a raster of labels, checked before the long work.

    Of a run `dsm` is the surface model after the event, the first other layer the post image; further ones are not there.
    Errors: InputError where there is nothing; RunError where the job does not have what the run needs; LabelError for labels that do not say their classes;
    GridError for labels of another site.
    """
    if Path(source).is_file():
        return _open_labels(Layer.open(source), post)
    if not Path(source).exists():
        raise InputError(
            f"{source} does not exist. Give the folder of a run that labels pixels, or a raster of labels."
        )
    run = load_run(source)
    image = next((name for name in run.inputs.names if name != "dsm"), "image")
    layers = {image: post} | ({"dsm": dsm_post} if dsm_post is not None and "dsm" in run.inputs.names else {})
    scene = run.inputs.as_trained(Scene(layers, post.grid))
    try:
        prepare_scene(scene, run)
    except RunError as error:
        raise RunError(
            f"{error} The job gives its post image and --dsm-post. For other layers, label the post image with "
            f"`deepnets4eo predict {source}` and give the labels in place of the run."
        ) from error
    return ClassMapSource(run.legend, f"the run {run.folder.name!r}", partial(_predict_labels, run, scene))


def _predict_labels(run: Run, scene: Scene, folder: Path, workers: int) -> Layer:
    labels = folder / "labels.tif"
    if not labels.is_file():  # it is there only when it is whole
        predict(run, scene, labels, PredictOptions(workers=workers, resume=True))
    return Layer.open(labels)


def _open_labels(labels: Layer, post: Layer) -> ClassMapSource:
    legend = labels.legend
    if legend is None:
        raise LabelError(
            f"{labels.source} does not say what its values mean. Give labels that `deepnets4eo predict` wrote, or a run."
        )
    if (hidden := hidden_class_note(labels, legend)) is not None:
        log.warning(hidden)
    on_post = Scene({"labels": labels}, post.grid).layers["labels"]
    return ClassMapSource(legend, f"the raster {Path(labels.source).name!r}", lambda *_: on_post)


def with_class_shares(
    evidence: EvidenceTable,
    class_map: ClassMapSource,
    outlines: NDArray[np.object_],
    workers: int,
    scratch: Path | None = None,
) -> EvidenceTable:
    """The table with a column a class: its share of the labelled pixels in the outline, 0–1; NaN where there are none.

    outlines : (N,) polygons in the post image's CRS, where it shows the buildings. scratch : folder of this job where
    the labels are kept, so that an interrupted job need not find them again.
    Peak memory: that of prediction, and of zonal counts.
    """
    legend = class_map.legend
    with nullcontext(scratch) if scratch is not None else tempfile.TemporaryDirectory() as folder:
        labels = class_map.label(Path(folder), workers)
        values = list(legend.values)
        counts = class_counts(labels, outlines, max(values) + 1, workers=workers).counts[:, values]
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    assessed = (evidence.frame["status"] == ASSESSED).to_numpy()
    shares[~assessed] = np.nan
    columns = dict(zip(_columns(legend), shares.T, strict=True))
    meaning = {
        column: f"post: share of the outline that {class_map.name} labels {name}, 0–1; not in the decision"
        for column, name in zip(columns, legend.names, strict=True)
    }
    return EvidenceTable(evidence.frame.assign(**columns), evidence.meaning | meaning)


def _columns(legend: Legend) -> list[str]:
    """A column for each class: its letters and digits, of any script; with its value where two would be the same."""
    plain = [re.sub(r"[\W_]+", "_", name.lower()).strip("_") for name in legend.names]
    return [
        PREFIX + (name if name and plain.count(name) == 1 else f"{name}_{value}".strip("_"))
        for name, value in zip(plain, legend.values, strict=True)
    ]
