"""Support of a damage job that does not shape its result: progress, and the journal from which an interrupted job resumes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import shapely

from deepnets4eo.cards import run_path
from deepnets4eo.damage.evidences.further import identity_of
from deepnets4eo.damage.network import grader
from deepnets4eo.damage.table.buildings import hash_table
from deepnets4eo.device import OPENVINO, OPENVINO_INT8, choose
from deepnets4eo.footprints import FootprintAlignment
from deepnets4eo.jobs import Journal, Progress, RemoteSteps, identity_hash
from deepnets4eo.outputs import Phrase
from deepnets4eo.registration import Registration, RegistrationQuality
from deepnets4eo.segmenters import RunFolder

if TYPE_CHECKING:
    from deepnets4eo.damage.settings import Settings
    from deepnets4eo.damage.site.site import Evidence, Inputs
    from deepnets4eo.rasters import Layer


KINDS = (FootprintAlignment, RegistrationQuality, Registration, Phrase)
PRECISION, RUNTIME = "precision", "runtime"  # blocks of the journal
NO_SHAPE = {"workers"}  # settings that do not shape the result


def damage_journal(
    scratch: Path | None, inputs: Inputs, settings: Settings, further: Sequence[Evidence] = ()
) -> Journal:
    """Return the journal of a job with these inputs, settings and evidences of other packages; it keeps nothing without a scratch folder."""
    images = {"pre": inputs.pre, "post": inputs.post}
    grids = {name: layer.grid for name, layer in images.items() if layer is not None}
    return Journal(None if scratch is None else scratch / _job_hash(inputs, settings, further), grids, KINDS)


def with_precision(settings: Settings, journal: Journal) -> Settings:
    """Return settings that name precision and runtime of the default networks, measured by the first process of the job.

    A continued job, and its parts on other computers, thus compute the same bits. With a run, auto is float32.
    """
    if settings.precision != "auto":
        return settings
    if RunFolder(run_path(settings.model)).is_run:
        return replace(settings, precision="float32")
    if not settings.network:
        return settings
    precision: Any = journal.agree(PRECISION, lambda: choose(settings.device).precision)
    runtime: Any = settings.runtime
    if runtime == "auto":
        scene_px = max((math.prod(grid.shape) for grid in journal.grids.values()), default=0)
        runtime = journal.agree(RUNTIME, lambda: grader.shipped_runtime(settings.device, scene_px))
    elif runtime == OPENVINO:
        runtime = OPENVINO_INT8
    return replace(settings, precision=precision, runtime=runtime)


def labels_file(scratch: Path, run: str, image: Layer) -> Path:
    """Return the file that keeps a run's labels of an image."""
    return scratch / f"labels-{identity_hash(RunFolder(run).card, image)}" / "labels.tif"


def _job_hash(inputs: Inputs, settings: Settings, further: Sequence[Evidence]) -> str:
    """Return the hash of all that shapes the steps: program, settings, runs, images, footprints, evidences."""
    runs = [name for name in (settings.model, settings.segmenter) if name]
    shipped_folder = grader.shipped_folder() if settings.network else None
    outlines = inputs.footprints.pixels
    return identity_hash(
        {name: value for name, value in asdict(settings).items() if name not in NO_SHAPE},
        [[Path(name), RunFolder(name).card] for name in runs],
        Path(settings.water) if settings.water else None,
        None if shipped_folder is None else RunFolder(shipped_folder).card,
        [getattr(inputs, name) for name in ("pre", "post", "dsm_pre", "dsm_post", "cloud_mask")],
        [evidence.identity for evidence in inputs.evidences],
        [identity_of(evidence) for evidence in further],
        hash_table(inputs.footprints.frame[["id", "geometry"]]),
        None if outlines is None else hashlib.sha256(b"".join(shapely.to_wkb(outlines))).hexdigest(),
    )


@dataclass(frozen=True)
class JobControl:
    """The control of the work, which does not shape its result.

    Parameters
    ----------
    scratch
        Folder for finished steps, from which an interrupted job resumes, and that the parts of a job share; the caller
        removes it.
    progress : called with the share of the passes over the images that is done, 0–1
    remote : other processes that compute the blocks of the passes, and see the scratch folder
    """

    scratch: Path | None = None
    progress: Progress | None = None
    remote: RemoteSteps | None = None
