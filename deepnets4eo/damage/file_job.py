"""A damage job given as paths and words: check it, compute one part, or write the map."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray

from deepnets4eo.addresses import shown_address
from deepnets4eo.cards.catalog import run_path, shipped_path
from deepnets4eo.damage.areas import check_areas, open_people
from deepnets4eo.damage.decision.passes import ImageSteps, load_model
from deepnets4eo.damage.evidence.point_evidence import PointEvidence
from deepnets4eo.damage.evidence.raster_evidence import RasterEvidence
from deepnets4eo.damage.evidence.table import (
    CUT,
    EMPTY,
    NODATA,
    OUTSIDE,
    SMALL,
    SMALLEST_M2,
    SMALLEST_PX,
    VISIBLE_SHARE,
)
from deepnets4eo.damage.evidence.working_grid import known_or_assumed_gsd_m
from deepnets4eo.damage.inputs.checks import check_images
from deepnets4eo.damage.inputs.find_buildings import SHIPPED, buildings_of
from deepnets4eo.damage.inputs.journal import JobControl, damage_journal, labels_file
from deepnets4eo.damage.inputs.opening import Inputs, open_inputs, open_pair
from deepnets4eo.damage.inputs.registered_scene import RegisteredScene
from deepnets4eo.damage.inputs.settings import FurtherInputs, ProductOptions, Settings
from deepnets4eo.damage.job import assess_inputs, assess_part
from deepnets4eo.damage.map import PRODUCTS, DamageMap
from deepnets4eo.damage.network.stretched_images import stretch_findings, stretches_of_job
from deepnets4eo.damage.priors.reading import PriorLayer, open_priors, parse_priors
from deepnets4eo.damage.products.content import FURTHER
from deepnets4eo.damage.products.write import check_formats, formats_of, named_before
from deepnets4eo.device import Compute, torch_settings
from deepnets4eo.errors import InputError, MissingExtraError, RunError
from deepnets4eo.files import check_overwrite
from deepnets4eo.jobs.blocks import DoBlock, Executor, RemoteSteps, WorkerRefusedError
from deepnets4eo.jobs.lock import output_lock
from deepnets4eo.jobs.parts import Part, Progress
from deepnets4eo.jobs.scratch import check_job_output, check_parts, job_scratch, part_scratch, was_interrupted
from deepnets4eo.options import split_names
from deepnets4eo.outputs.event import EventInfo
from deepnets4eo.outputs.findings import Finding, count_of
from deepnets4eo.outputs.input_files import check_not_inputs
from deepnets4eo.rasters.gdal_cache import cache_bytes, gdal_cache

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.decision.decision import DecisionModel
    from deepnets4eo.rasters.scene import Layer, LayerLike
    from deepnets4eo.registration import ImagePair

SEEN_PX = 2048  # longer side of what says where the post image has data
MOST_PX = 100_000_000  # a larger image is not read as a whole for that


IN_WORDS = ("pdf", "png")  # products that depend on the language, as the page does
WITHOUT_WORDS = ("damage.gpkg", "damage.parquet", "summary.json", "damage.qgz")
FIND = "-"  # in place of footprints: find the buildings
_open_jobs: dict[str, ImageSteps] = {}  # in a worker, the last one

NUMBER = re.compile(r"\d*\.?\d+")

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
    findings: tuple[Finding, ...] = ()

    @classmethod
    def plan(
        cls, pre: str, post: str, footprints: str, further: FurtherInputs, settings: Settings, out: Path, *,
        formats: list[str] | None, overwrite: bool, resume: bool, products: ProductOptions = ProductOptions(),
        findings: Sequence[Finding] = (),
    ) -> FileJob:  # fmt: skip
        """The job of these words. Errors: InputError; OutputError where it would write over its inputs."""
        check_formats(formats or ())
        points, weights = _point_evidence(further)
        rasters = _raster_evidence(further.evidence or [], weights)
        settings = _with_segmenter(footprints, settings)
        read = [pre, post, footprints, *further.layers.values(), *(each.source for each in rasters)]
        others = [further.points_pre, further.points_post, settings.model, settings.segmenter, settings.look_from]
        others += [further.areas, further.population, further.prior_curves]
        others += [file for _, _, file in parse_priors(further.prior or ())]
        _check_areas(further)
        check_not_inputs([out, *(out / name for name in PRODUCTS)], [*read, *others])
        return cls(
            pre, post, footprints, further, settings, out, formats, overwrite, resume, products, rasters, points, tuple(findings)
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
            model = load_model(inputs, _dry_settings(self.settings, pre, post))
            formats_of(self.formats, post.grid.crs)
            lines, account = _foreseen_lines(inputs, self.out), inputs.footprints.account()
        self._open_priors(post)
        if _is_wide(pre, post):
            stretches = stretches_of_job(model.stretches, self.settings.segmenter, pre, post)
            lines += [finding.message for finding in stretch_findings(stretches, {"pre": pre, "post": post})]
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
                    self.out, pre=inputs.pre, post=inputs.post, scores=inputs.scores, overwrite=overwrite,
                    scratch=scratch, also=self.formats, options=self.products,
                )  # fmt: skip
        return result, paths

    def write_again(self) -> tuple[DamageMap, dict[str, Path]]:
        """Write further formats of the map that is there, or another language. Errors: InputError."""
        result = DamageMap.load(self.out)
        pair = open_pair(self.pre, self.post, self.settings)
        for role, layer in (("pre", pair.pre), ("post", pair.post)):
            paths = [] if layer is None else [shown_address(str(path)) for path in layer.paths]
            of_map = [path for name, path in result.inputs.items() if re.fullmatch(rf"{role}(_\d+)?", name)]
            if [Path(path).name for path in paths] != [Path(path).name for path in of_map]:
                raise InputError(
                    f"the {role} image is {', '.join(paths) or 'none'}, but the map in {self.out} was made of "
                    f"{', '.join(of_map) or 'none'}. Give the images of the map."
                )
        options, requested = self.products, set(self.formats or ())
        if "cems" not in requested and (named := named_before(self.out)):
            options = replace(options, cems=min(named).removesuffix(".gpkg"))
        files = FURTHER | ({} if options.cems is None else {"cems": f"{options.cems}.gpkg"})
        there = [name for name, file in files.items() if (self.out / file).exists()]
        anew = requested | ({*IN_WORDS} if options.language else set())
        kept = [
            *WITHOUT_WORDS,
            *(["report.html"] if options.language is None else []),
            *(files[name] for name in there if name not in anew),
        ]
        return result, result.save(
            self.out, pre=pair.pre, post=pair.post, overwrite=True, also=list(dict.fromkeys([*there, *requested])),
            options=options, kept=kept,
        )  # fmt: skip

    def open_steps(self, scratch: Path) -> ImageSteps:
        """In a worker: the steps of the job in the scratch folder. Errors: WorkerRefusedError for another job."""
        inputs = self._open()
        journal = damage_journal(scratch, inputs, self.settings)
        if journal.folder is None or not journal.folder.is_dir():
            raise WorkerRefusedError(
                f"{scratch} holds no job of these inputs. Let all workers see the same files by the same paths: give absolute ones, or "
                "start the workers in the folder of the job."
            )
        scene = RegisteredScene.prepare(inputs, self.settings, journal)
        return ImageSteps.plan(scene, load_model(inputs, self.settings), journal, None)

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
        from deepnets4eo.prediction import PredictOptions

        pair, _ = self._open_pair()
        segmenter, image = str(self.settings.segmenter), pair.post if pair.pre is None else pair.pre
        labels = labels_file(scratch, segmenter, image)
        with progress("buildings") as advance:
            try:
                options = PredictOptions(
                    device=self.settings.device, precision=self.settings.precision, resume=True, scratch=True
                )
                buildings = buildings_of(segmenter, image, labels, options=options, progress=advance)
            except (MissingExtraError, RunError) as error:
                raise InputError(
                    f"FOOTPRINTS is -, but the buildings cannot be found: {error} Or give a run of your own with "
                    "--set segmenter=RUN, or footprints."
                ) from error
        return self._open_with(pair.pre, pair.post, buildings)

    def _open_pair(self, *, dry_run: bool = False) -> tuple[ImagePair, DecisionModel]:
        """Both images, and the model that decides; refuses what the job would once buildings were found."""
        pair = open_pair(self.pre, self.post, self.settings)
        deciding = _dry_settings(self.settings, pair.pre, pair.post) if dry_run else self.settings
        return pair, load_model(check_images(pair), deciding)


@contextmanager
def open_step(job: FileJob, scratch: Path, key: str, step: str) -> Iterator[DoBlock]:
    """In a worker: yields what does the blocks of a step. key : of the job, whose inputs are opened once."""
    if key not in _open_jobs:
        _open_jobs.clear()
        _open_jobs[key] = job.open_steps(scratch)
    steps = _open_jobs[key]
    with gdal_cache(cache_bytes(steps.scene.inputs.pre, steps.scene.inputs.post)), torch_settings(Compute()):
        yield steps.block_function(step)


def parse_part(text: str, footprints: str) -> Part:
    """The part that 3/16 names. Errors: InputError."""
    if footprints == FIND:
        raise InputError(
            "FOOTPRINTS is -, and --part is given; expected footprints, since the buildings must be known before the work is "
            "divided. Find them first with `deepnets4eo predict` and `deepnets4eo polygons`, and give their file."
        )
    return Part.parse(text)


def _foreseen_lines(inputs: Inputs, out: Path) -> list[str]:
    """How many buildings would be assessed, and why others not."""
    left_out = Counter(reason for reason in foreseen_reasons(inputs).tolist() if reason)
    total, assessed = len(inputs.footprints), len(inputs.footprints) - left_out.total()
    which = count_of(total, "building") if assessed == total else f"{assessed:,} of {count_of(total, 'building')}"
    lines = [f"{which} would be assessed into {out}"]
    if left_out:
        lines.append("not assessed: " + "; ".join(f"{count:,} × {reason}" for reason, count in left_out.most_common()))
    return lines


def _check_areas(further: FurtherInputs) -> None:
    """Refuse areas and people that cannot be counted. Errors: InputError."""
    if further.areas is not None:
        check_areas(further.areas)
    elif further.population is not None:
        raise InputError("population is given without --areas, by which people are counted. Give --areas, e.g. grid.")
    if further.population is not None:
        open_people(further.population)


def _point_evidence(further: FurtherInputs) -> tuple[PointEvidence | None, list[str]]:
    """The clouds with the weight of `points=WEIGHT`, and the other weights. Errors: InputError."""
    weights = split_names(further.evidence_weight or "")
    of_points = [text for text in weights if text.startswith("points=")]
    if further.points_post is None:
        if further.points_pre is not None:
            raise InputError("--points-pre is given without --points-post. Give the cloud after the event, too.")
        return None, weights
    values = [text.removeprefix("points=") for text in of_points]
    if len(values) > 1 or not all(NUMBER.fullmatch(value) for value in values):
        raise InputError(
            f"--set evidence_weight is {', '.join(of_points)}; expected one number, such as points=0.3. Correct it."
        )
    clouds = further.points_post, further.points_pre
    points = PointEvidence(*clouds, float(values[0])) if values else PointEvidence(*clouds)
    return points, [text for text in weights if text not in of_points]


def _raster_evidence(evidence: list[str], weights: list[str]) -> list[RasterEvidence]:
    """The rasters of NAME=RASTER with the weights of NAME=WEIGHT. Errors: InputError."""
    rasters, weight_of = _pairs("--evidence", evidence, "RASTER"), _pairs("--set evidence_weight", weights, "WEIGHT")
    for name, text in weight_of.items():
        if name not in rasters or not NUMBER.fullmatch(text):
            raise InputError(
                f"--set evidence_weight is {name}={text}; expected the name of an --evidence and a number, such as "
                f"{next(iter(rasters), 'change')}=0.3. Correct it."
            )
    return [
        RasterEvidence(name, source, float(weight_of[name]) if name in weight_of else None)
        for name, source in rasters.items()
    ]


def _pairs(option: str, texts: list[str], value: str) -> dict[str, str]:
    """Name → value of NAME=VALUE. Errors: InputError."""
    pairs = dict(text.partition("=")[::2] for text in texts)
    if len(pairs) < len(texts) or not all(name and text for name, text in pairs.items()):
        raise InputError(f"{option} is {', '.join(texts)}; expected NAME={value}, each name once. Correct it.")
    return pairs


def _with_segmenter(footprints: str, settings: Settings) -> Settings:
    """Settings with the run that finds the buildings where FOOTPRINTS is -. Errors: InputError for a file and a run."""
    if footprints == FIND:
        run = run_path(settings.segmenter) if settings.segmenter else shipped_path(SHIPPED)
        return replace(settings, segmenter=str(run))
    if settings.segmenter is not None:
        raise InputError(
            f"FOOTPRINTS is {footprints} and --set segmenter={settings.segmenter}; expected a file, or - and a run that finds "
            "the buildings. Give one of the two."
        )
    return settings


def _dry_settings(settings: Settings, pre: Layer | None, post: Layer) -> Settings:
    """Settings without the default network, slow to load, unless an image has more than 8 bits."""
    return settings if _is_wide(pre, post) else replace(settings, network=False)


def _is_wide(*images: Layer | None) -> bool:
    """Whether an image has values of more than 8 bits."""
    return any(image is not None and image.as_stored().dtype.itemsize > 1 for image in images)


def foreseen_reasons(inputs: Inputs) -> NDArray[np.object_]:
    """(N,) why each building would not be assessed, "" where it would be. Memory: the outlines, and 2048² pixels."""
    outlines, post = inputs.outlines_px, inputs.post
    height, width = post.shape
    area_px = shapely.area(outlines)
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = shapely.area(shapely.intersection(outlines, shapely.box(0, 0, width, height))) / area_px
    reasons = np.full(len(outlines), "", object)
    if height * width <= MOST_PX:
        reasons[~_seen(inputs, outlines) & (inside > 0)] = NODATA
    reasons[inside < VISIBLE_SHARE] = CUT
    area_m2 = area_px * np.prod(known_or_assumed_gsd_m(post.grid))
    reasons[(area_px < SMALLEST_PX) | (area_m2 < SMALLEST_M2)] = SMALL
    reasons[inside < 1 - VISIBLE_SHARE] = OUTSIDE
    reasons[~(area_px > 0)] = EMPTY
    gone = shapely.is_empty(outlines) & ~shapely.is_empty(inputs.footprints.frame.geometry.to_numpy())
    reasons[gone] = OUTSIDE  # beyond the reach of the image's CRS
    return reasons


def _seen(inputs: Inputs, outlines: NDArray[np.object_]) -> NDArray[np.bool_]:
    """(N,) whether the post image has data at a point within each outline."""
    _, valid, _ = inputs.post.thumbnail(SEEN_PX)
    points = shapely.point_on_surface(outlines)
    scale = np.array(valid.shape) / inputs.post.shape
    row_col = np.column_stack([shapely.get_y(points), shapely.get_x(points)]) * scale
    known = np.asarray(np.isfinite(row_col).all(axis=1))
    row, col = np.clip(np.where(known[:, None], row_col, 0).astype(int), 0, np.array(valid.shape) - 1).T
    return np.asarray(known & valid[row, col])
