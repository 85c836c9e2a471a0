"""In a worker of a damage job: what does a block of one of its steps over the images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from deepnets4eo.damage.decision.decision import DecisionModel
from deepnets4eo.damage.opening import built_in_evidences
from deepnets4eo.damage.site.phases import shared_steps
from deepnets4eo.damage.site.site import Site
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.device import Compute
from deepnets4eo.jobs import DoBlock, FinishBlocks, Part, block_of_step
from deepnets4eo.rasters import gdal_cache


class SharedJob(Protocol):
    """A job whose blocks several processes do."""

    def open_shared(self, scratch: Path) -> tuple[Site, DecisionModel]:
        """Return the site of the job in the scratch folder, and its model. Raises WorkerRefusedError for another job."""


_open_jobs: dict[str, tuple[Site, DecisionModel]] = {}  # the last one


@contextmanager
def open_step(job: SharedJob, scratch: Path, key: str, step: str) -> Iterator[DoBlock]:
    """Yield the function that does the blocks of a step, in a worker. key : of the job, whose inputs are opened once."""
    if key not in _open_jobs:
        _open_jobs.clear()
        _open_jobs[key] = job.open_shared(scratch)
    site, model = _open_jobs[key]
    if (grader := model.network.grader) is not None:
        grader.read_network()
    with gdal_cache(site.pre, site.post), Compute().torch_settings():
        yield block_function(site, model, step)


def block_function(site: Site, model: DecisionModel, step: str) -> DoBlock:
    """Return the function that does a block of a step, in a worker. site : with the journal of the job, its images and outlines placed."""
    unknown = Buildings.not_assessed(site.inputs.footprints.frame["id"].to_numpy(), "")
    site = replace(site, buildings=unknown.all_by_post())  # whichever they are: a tile is one of theirs
    steps = shared_steps(built_in_evidences(model))

    def run(finish: FinishBlocks) -> None:
        steps[step](
            replace(site, work=replace(site.work, part=Part.whole, finish=finish))
        )  # a part keeps no whole steps

    return block_of_step(run, step)
