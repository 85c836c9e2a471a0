"""A damage job given as paths and words: check it, compute one part, or write the map."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from deepnets4eo.damage.areas import check_counted
from deepnets4eo.damage.decision.decision import DecisionModel, load_model
from deepnets4eo.damage.evidences.points import PointEvidence
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.evidences.words import parse_evidences
from deepnets4eo.damage.foreseen import dry_settings, foreseen_lines, stretch_lines
from deepnets4eo.damage.inputs.checks import check_images
from deepnets4eo.damage.inputs.find_buildings import FIND, find_footprints, with_segmenter
from deepnets4eo.damage.inputs.journal import JobControl, damage_journal, labels_file
from deepnets4eo.damage.inputs.placing import register_and_align
from deepnets4eo.damage.inputs.settings import FurtherInputs, ProductOptions, Settings
from deepnets4eo.damage.inputs.site import Inputs, Site, Work
from deepnets4eo.damage.job import assess_inputs, assess_part
from deepnets4eo.damage.map import PRODUCTS, DamageMap
from deepnets4eo.damage.opening import open_inputs, open_pair
from deepnets4eo.damage.priors.reading import PriorLayer, open_priors, parse_priors
from deepnets4eo.damage.products.write import check_formats, formats_of
from deepnets4eo.damage.worker import open_step
from deepnets4eo.damage.written_again import write_again
from deepnets4eo.errors import InputError
from deepnets4eo.files import check_overwrite
from deepnets4eo.jobs.blocks import Executor, RemoteSteps, WorkerRefusedError
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.jobs.parts import Part, Progress
from deepnets4eo.jobs.scratch import check_job_output, check_parts, job_scratch, part_scratch, was_interrupted
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.outputs.input_files import check_not_inputs

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.rasters.scene import Layer, LayerLike
    from deepnets4eo.registration import ImagePair


ProgressBar: TypeAlias = Callable[[str], AbstractContextManager[Progress]]  # title → what is called with the share done


@dataclass(frozen=True)
class FileJob:
    """A damage map of these files, written into a folder. pre, footprints : "-" for none; formats : None for all that fit."""

    pre: str
    post: str
    footprints: str
    further: FurtherInputs
    settings: Settings
    out: Path
    formats: list[str] | None = None
    overwrite: bool = False
    resume: bool = False
    products: ProductOptions = ProductOptions()
    rasters: Sequence[RasterEvidence] = ()
    points: PointEvidence | None = None
    findings: Sequence[Finding] = ()  # of what named the inputs

    @classmethod
    def plan(
        cls, pre: str, post: str, footprints: str, further: FurtherInputs, settings: Settings, out: Path, *,
        formats: list[str] | None, overwrite: bool, resume: bool, products: ProductOptions = ProductOptions(),
    ) -> FileJob:  # fmt: skip
        """The job of these words. Errors: InputError; OutputError where it would write over its inputs."""
        check_formats(formats or ())
        rasters, points = parse_evidences(further)
        settings = with_segmenter(footprints, settings)
        read = [pre, post, footprints, *further.layers.values(), *(each.source for each in rasters)]
        others = [further.points_pre, further.points_post, settings.model, settings.segmenter, settings.look_from]
        others += [further.areas, further.population, further.prior_curves]
        others += [file for _, _, file in parse_priors(further.prior or ())]
        check_counted(further.areas, further.population)
        check_not_inputs([out, *(out / name for name in PRODUCTS)], [*read, *others])
        return cls(
            pre, post, footprints, further, settings, out, formats, overwrite, resume, products, rasters, points
        )  # fmt: skip

    def check(self) -> tuple[list[str], dict[str, Any]]:
        """Open and check everything; lines on what would be done, and the account of the footprints."""
        check_job_output(self.out, overwrite=self.overwrite, resume=self.resume)
        if self.settings.segmenter is not None:
            pair, model = self._open_pair(dry_run=True)
            pre, post = pair.pre, pair.post
            lines = [f"the buildings that {self.settings.segmenter} finds would be assessed into {self.out}"]
            account: dict[str, Any] = {}
        else:
            inputs = self._open()
            pre, post = inputs.pre, inputs.post
            model = load_model(inputs, dry_settings(self.settings, pre, post))
            formats_of(self.formats, post.grid.crs)
            lines, account = foreseen_lines(inputs, self.out), inputs.footprints.account()
        self._open_priors(post)
        lines += stretch_lines(model, self.settings, pre, post)
        return lines, account

    def do_part(self, part: Part, progress: ProgressBar, executor: Executor | None = None) -> None:
        """Keep a part's share of the long work beside the output, for the job that completes the map."""
        with output_lock(self.out, shared=True):
            check_overwrite(self.out, overwrite=self.overwrite or was_interrupted(self.out))
            with part_scratch(self.out) as scratch, progress(f"part {part}") as advance:
                assess_part(
                    self._open(), part, self.settings, JobControl(scratch, advance, self._remote(scratch, executor))
                )

    def _remote(self, scratch: Path, executor: Executor | None) -> RemoteSteps | None:
        return None if executor is None else RemoteSteps(executor, open_step, (self, scratch, uuid.uuid4().hex))

    def do(
        self, event: EventInfo, progress: ProgressBar, executor: Executor | None = None
    ) -> tuple[DamageMap, dict[str, Path]]:
        """Make the map and write its files; the map and the paths by name. executor : does the long work."""
        if executor is not None and self.settings.segmenter is not None:
            raise InputError(
                "FOOTPRINTS is -, and other processes are to work; expected footprints, which they can read. Find them first with "
                "`deepnets4eo predict` and `deepnets4eo polygons`, and give their file; or give a number of threads as --workers."
            )
        with output_lock(self.out):
            check_parts(self.out, resume=self.resume, overwrite=self.overwrite)
            overwrite = check_job_output(self.out, overwrite=self.overwrite, resume=self.resume)
            with job_scratch(self.out, resume=self.resume) as scratch:
                inputs = self._open() if self.settings.segmenter is None else self._open_finding(scratch, progress)
                remote = self._remote(scratch, executor)
                priors = self._open_priors(inputs.post)
                formats_of(self.formats, inputs.post.grid.crs)  # before long work
                with progress("evidence") as advance:
                    result = assess_inputs(inputs, self.settings, JobControl(scratch, advance, remote), event)
                if priors:
                    result.add_priors(priors)
                if self.further.areas is not None:
                    result.add_areas(self.further.areas, self.further.population)
                paths = result.save(
                    self.out, overwrite=overwrite,
                    scratch=scratch, also=self.formats, options=self.products,
                )  # fmt: skip
        return result, paths

    def write_again(self) -> tuple[DamageMap, dict[str, Path]]:
        """Write further formats of the map that is there, or another language. Errors: InputError."""
        pair = open_pair(self.pre, self.post, self.settings)
        return write_again(pair, self.out, self.formats, self.products)

    def open_shared(self, scratch: Path) -> tuple[Site, DecisionModel]:
        """In a worker: the site of the job in the scratch folder, and its model. Errors: WorkerRefusedError for another job."""
        inputs = self._open()
        journal = damage_journal(scratch, inputs, self.settings)
        if journal.folder is None or not journal.folder.is_dir():
            raise WorkerRefusedError(
                f"{scratch} holds no job of these inputs. Let all workers see the same files by the same paths: give absolute ones, or "
                "start the workers in the folder of the job."
            )
        return register_and_align(Site(inputs, self.settings, work=Work(journal))), load_model(inputs, self.settings)

    def _open(self) -> Inputs:
        return self._open_with(self.pre, self.post, self.footprints)

    def _open_with(self, pre: LayerLike | None, post: LayerLike, footprints: str | gpd.GeoDataFrame) -> Inputs:
        inputs = open_inputs(
            pre, post, footprints, self.settings, **self.further.layers, evidence=self.rasters, points=self.points
        )
        return replace(inputs, findings=(*inputs.findings, *self.findings))

    def _open_priors(self, post: Layer) -> list[PriorLayer]:
        return open_priors(self.further.prior or (), post, self.further.prior_curves)

    def _open_finding(self, scratch: Path, progress: ProgressBar) -> Inputs:
        """With the buildings that the segmenter finds in the first of the images."""
        pair, _ = self._open_pair()
        labels = labels_file(scratch, str(self.settings.segmenter), pair.post if pair.pre is None else pair.pre)
        with progress("buildings") as advance:
            buildings = find_footprints(pair, self.settings, labels, advance)
        return self._open_with(pair.pre, pair.post, buildings)

    def _open_pair(self, *, dry_run: bool = False) -> tuple[ImagePair, DecisionModel]:
        """Both images, and the model that decides; refuses what the job would once buildings were found."""
        pair = open_pair(self.pre, self.post, self.settings)
        deciding = dry_settings(self.settings, pair.pre, pair.post) if dry_run else self.settings
        return pair, load_model(check_images(pair), deciding)


def parse_part(text: str, footprints: str) -> Part:
    """The part that 3/16 names. Errors: InputError."""
    if footprints == FIND:
        raise InputError(
            "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
            "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
        )
    return Part.parse(text)
