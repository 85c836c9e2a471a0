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
from deepnets4eo.damage.evidences.priors import open_priors, parse_priors
from deepnets4eo.damage.evidences.rasters import RasterEvidence
from deepnets4eo.damage.evidences.words import parse_evidences
from deepnets4eo.damage.foreseen import dry_settings, foreseen_lines, stretch_lines
from deepnets4eo.damage.inputs.checks import check_images
from deepnets4eo.damage.inputs.find_buildings import FIND, find_footprints, with_segmenter
from deepnets4eo.damage.inputs.journal import JobControl, damage_journal, labels_file
from deepnets4eo.damage.inputs.placing import register_and_align
from deepnets4eo.damage.inputs.settings import FurtherInputs, ProductOptions, Settings
from deepnets4eo.damage.inputs.site import Evidence, Inputs, Site, Work
from deepnets4eo.damage.job import assess_inputs, assess_part
from deepnets4eo.damage.map import PRODUCTS, DamageMap
from deepnets4eo.damage.opening import open_inputs, open_pair
from deepnets4eo.damage.products.write import check_formats, formats_of
from deepnets4eo.damage.worker import open_step
from deepnets4eo.damage.written_again import write_again
from deepnets4eo.errors import InputError
from deepnets4eo.formats.access import check_exist
from deepnets4eo.jobs.blocks import Executor, RemoteSteps, WorkerRefusedError
from deepnets4eo.jobs.output import JobOutput
from deepnets4eo.jobs.parts import Progress
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import Finding

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
    output: JobOutput
    formats: list[str] | None = None
    products: ProductOptions = ProductOptions()
    event: EventInfo = EventInfo()
    findings: Sequence[Finding] = ()  # of what named the inputs
    rasters: Sequence[RasterEvidence] = ()
    points: PointEvidence | None = None

    @classmethod
    def plan(
        cls, images: tuple[str, str], footprints: str, further: FurtherInputs, settings: Settings, output: JobOutput, *,
        formats: list[str] | None = None, products: ProductOptions = ProductOptions(), event: EventInfo = EventInfo(),
        findings: Sequence[Finding] = (),
    ) -> FileJob:  # fmt: skip
        """The job of these words. images : pre and post. Errors: InputError; OutputError where it would write over its inputs."""
        check_formats(formats or ())
        rasters, points = parse_evidences(further)
        settings = with_segmenter(footprints, settings)
        check_counted(further.areas, further.population)
        if output.part is not None and footprints == FIND:
            raise InputError(
                "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
                "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
            )
        job = cls(
            *images, footprints, further, settings, output, formats, products, event, findings, rasters, points,
        )  # fmt: skip
        others = (
            settings.model,
            settings.segmenter,
            settings.look_from,
            further.areas,
            further.population,
            further.prior_curves,
        )
        output.check_apart(PRODUCTS, *job._files, *(each.source for each in rasters), *others)
        return job

    @property
    def _files(self) -> list[str]:
        """The files that the buildings are measured in."""
        named = self.pre, self.post, self.footprints, self.further.points_pre, self.further.points_post
        priors = (file for _, _, file in parse_priors(self.further.prior or ()))
        return [name for name in (*named, *self.further.layers.values(), *priors) if name is not None]

    def check(self) -> tuple[list[str], dict[str, Any]]:
        """Open and check everything; lines on what would be done, and the account of the footprints."""
        check_exist(self._files)  # all at once
        self.output.check()
        if self.settings.segmenter is not None:
            pair, model = self._open_pair(dry_run=True)
            pre, post = pair.pre, pair.post
            self._open_priors(post)
            lines = [f"the buildings that {self.settings.segmenter} finds would be assessed into {self.output.out}"]
            account: dict[str, Any] = {}
        else:
            inputs = self._open()
            pre, post = inputs.pre, inputs.post
            model = load_model(inputs, dry_settings(self.settings, pre, post))
            formats_of(self.formats, post.grid.crs)
            lines, account = foreseen_lines(inputs, self.output.out), inputs.footprints.account()
        lines += stretch_lines(model, self.settings, pre, post)
        return lines, account

    def run(self, progress: ProgressBar, executor: Executor | None = None) -> tuple[DamageMap, dict[str, Path]] | None:
        """Make the map and write its files; the map and the paths by name. executor : does the long work.

        None of a part, whose share of the long work is kept beside the output for the job that completes the map."""
        if executor is not None and self.settings.segmenter is not None:
            raise InputError(
                "FOOTPRINTS is -, and other processes are to work; expected footprints, which they can read. Find them first with "
                "`deepnets4eo predict` and `deepnets4eo polygons`, and give their file; or give a number of threads as --workers."
            )
        with self.output.begin() as scratch:
            remote = (
                None if executor is None else RemoteSteps(executor, open_step, (self, scratch.folder, uuid.uuid4().hex))
            )
            if (part := self.output.part) is not None:
                with progress(f"part {part}") as advance:
                    assess_part(self._open(), part, self.settings, JobControl(scratch.folder, advance, remote))
                return None
            inputs = self._open() if self.settings.segmenter is None else self._open_finding(scratch.folder, progress)
            formats_of(self.formats, inputs.post.grid.crs)  # before long work
            with progress("evidence") as advance:
                work = JobControl(scratch.folder, advance, remote)
                result = assess_inputs(inputs, self.settings, work, self.event)
            if self.further.areas is not None:
                result.add_areas(self.further.areas, self.further.population)
            return result, result.save(
                self.output.out, overwrite=self.output.replaces, scratch=scratch.folder, also=self.formats,
                options=self.products,
            )  # fmt: skip

    def write_again(self) -> tuple[DamageMap, dict[str, Path]]:
        """Write further formats of the map that is there, or another language. Errors: InputError."""
        pair = open_pair(self.pre, self.post, self.settings)
        return write_again(pair, self.output.out, self.formats, self.products)

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
        return replace(inputs, findings=(*inputs.findings, *self.findings), priors=self._open_priors(inputs.post))

    def _open_priors(self, post: Layer) -> tuple[Evidence, ...]:
        return tuple(open_priors(self.further.prior or (), post, self.further.prior_curves))

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
