"""What a labelling run says of each building: how much of its outline on the post image each class takes.

Takes any run that labels pixels, a classical baseline or a network; gives evidence that people see beside the decision,
which does not use it: nobody can say beforehand which classes speak for damage.
Refuses runs whose inputs the post image does not give.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.damage.evidence import EvidenceTable
from deepnets4eo.prediction import PredictOptions, predict
from deepnets4eo.run import Run, load_run
from deepnets4eo.scene import Layer, Scene
from deepnets4eo.zonal import class_counts

PREFIX = "ev_class_"


def open_labeller(folder: str | Path, post: Layer, dsm_post: Layer | None) -> tuple[Run, Scene]:
    """The run, and the scene it will label: its layer `dsm` is the surface model after the event, others the image.

    Errors: RunError where the post image does not fit the run, before the long work.
    """
    run = load_run(folder)
    layers = {name: dsm_post if name == "dsm" and dsm_post is not None else post for name in run.inputs.names}
    scene = Scene(layers, post.grid)
    run.inputs.check(scene)
    return run, scene


def with_class_shares(
    evidence: EvidenceTable, labeller: tuple[Run, Scene], outlines: NDArray[np.object_], workers: int
) -> EvidenceTable:
    """The table with a column a class: its share of the labelled pixels in the outline, 0–1; NaN where there are none.

    outlines : (N,) polygons in the post image's CRS, where it shows the buildings.
    Peak memory: that of prediction, and of zonal counts.
    """
    run, scene = labeller
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.tif"
        predict(run, scene, path, PredictOptions(workers=workers))
        values = list(run.legend.values)
        counts = class_counts(Layer.open(path), outlines, max(values) + 1, workers=workers).counts[:, values]
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    assessed = (evidence.frame["reason"] == "").to_numpy()
    shares[~assessed] = np.nan
    columns = {f"{PREFIX}{_plain(name)}": shares[:, place] for place, name in enumerate(run.legend.names)}
    meaning = {
        column: f"post: share of the outline that the run {run.folder.name!r} labels {name}, 0–1; not in the decision"
        for column, name in zip(columns, run.legend.names, strict=True)
    }
    return EvidenceTable(evidence.frame.assign(**columns), evidence.meaning | meaning)


def _plain(name: str) -> str:
    """A class's name as a column may be called."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
