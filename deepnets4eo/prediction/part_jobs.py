"""The parts of a prediction that a call computes, each with its journal, its reader of tiles and who computes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deepnets4eo.device import readers_for
from deepnets4eo.jobs import JobRecord, Part, Progress, RowJournal, between
from deepnets4eo.prediction.label_task import LabelTask
from deepnets4eo.prediction.options import PredictOptions
from deepnets4eo.prediction.outputs import Outputs, Product
from deepnets4eo.prediction.plan import Plan
from deepnets4eo.prediction.strips import Job
from deepnets4eo.prediction.tile_blocks import TileBlocks, TileTask
from deepnets4eo.prediction.tile_reader import TileReader
from deepnets4eo.rasters import BLOCK_PX, LEVEL

GPU_READERS = 16  # on an H200 with 16 cores twice the tiles a second of two


def part_jobs(
    task: LabelTask, plan: Plan, paths: Mapping[str, Path], options: PredictOptions,
    journals: Mapping[Part, RowJournal], progress: Progress | None, record: JobRecord,
) -> list[Job]:  # fmt: skip
    """Return one job per part, all with the same outputs. Errors: InputError for a scene of arrays that others shall read."""
    segmenter, scene, compute, lattice = task.segmenter, task.prepared.labelled, plan.compute, plan.lattice
    level = 0 if options.scratch else LEVEL
    tags = task.tags(plan) | ({} if options.scratch or options.part is not None else record.tags)
    outputs = Outputs(dict(paths), task.prepared.scene.grid, segmenter.legend, tags, level)
    reader = TileReader.of(scene, segmenter, lattice)
    blocks = _remote_blocks(task, plan, paths, options, journals)
    workers = options.workers or readers_for(compute.device, on_cpu=2, on_gpu=GPU_READERS)
    return [
        Job(
            segmenter, lattice, compute, reader, outputs, journal, plan.batch_tiles, options.block_px or BLOCK_PX,
            workers, between(progress, number / len(journals), (number + 1) / len(journals)), part, blocks[part],
        )
        for number, (part, journal) in enumerate(journals.items())
    ]  # fmt: skip


def _remote_blocks(
    task: LabelTask, plan: Plan, paths: Mapping[str, Path], options: PredictOptions, journals: Mapping[Part, RowJournal]
) -> dict[Part, TileBlocks | None]:
    """Return each part's tiles that other processes compute, None without an executor. Errors: InputError for arrays."""
    if options.executor is None:
        return dict.fromkeys(journals)
    with_scores = paths.keys() != {Product.labels} or plan.lattice.tiling.blends
    tiles = TileTask(task.prepared.labelled, plan.lattice, plan.compute, plan.batch_tiles, with_scores)
    tiles.check()
    return {
        part: TileBlocks(options.executor, tiles, task.segmenter, journal.folder.resolve() / "tiles")
        for part, journal in journals.items()
    }
