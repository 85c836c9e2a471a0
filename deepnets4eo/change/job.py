"""The change job: two images in, a folder of products out: labels, scores, polygons, summary, page, manifest.

Without a run, a classical method is fitted to the pair itself; with one, its network decides. Streamed and resumable.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.change.change_scores import change_scores
from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.deciding import check_options, load_change_run, method_findings, prepare, with_method_of
from deepnets4eo.change.doubts import doubt_findings
from deepnets4eo.change.options import MANIFEST, ChangeOptions, ChangeProducts
from deepnets4eo.change.page import area_in_words, changed_interval, doubt_in_words
from deepnets4eo.change.pair import ChangePair, open_pair
from deepnets4eo.change.rasters import covers_of, write_rasters
from deepnets4eo.change.transitions import CoverLayers
from deepnets4eo.jobs import Executor, JobOutput, KeptFiles, Progress
from deepnets4eo.outputs import EventInfo, Finding, worst_first
from deepnets4eo.rasters import Layer, LayerLike, gdal_cache
from deepnets4eo.segmenters import Run, RunFolder

if TYPE_CHECKING:
    import geopandas as gpd

log = logging.getLogger(__name__)

PRODUCTS = (
    "change.tif", "change.qml", "change.tif.aux.xml", "score.tif", "change.gpkg", "summary.json", "report.html", MANIFEST,
)  # fmt: skip
COVER_PRODUCTS = (
    "transitions.csv",
    *(f"{name}{end}" for name in (CoverLayers.pre, CoverLayers.post) for end in (".tif", ".qml", ".tif.aux.xml")),
)  # where land cover of both dates is known


@dataclass(frozen=True)
class ChangeMap:
    """Output of a change job.

    Parameters
    ----------
    paths : file name → file
    polygons : one row per region of change, the largest first: id, area_m2, score
    summary : the contents of summary.json
    findings : what limits the use of the map, worst first
    """

    paths: dict[str, Path]
    polygons: gpd.GeoDataFrame
    summary: dict[str, Any]
    findings: tuple[Finding, ...]

    def headline(self) -> str:
        """Return the changed area in one line, with its interval if it has one, and what the interval does not include."""
        area, interval = self.summary["area"], changed_interval(self.summary["area"])
        limit = "" if interval is None else "; the range does not include errors of the map"
        return f"{area_in_words(area, 'changed', interval)} changed{doubt_in_words(area)}{limit}"


def map_change(
    pre: LayerLike,
    post: LayerLike,
    out: str | Path,
    options: ChangeOptions = ChangeOptions(),
    *,
    event: EventInfo = EventInfo(),
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> ChangeMap:
    """Map what changed between two images.

    Parameters
    ----------
    pre, post : paths, folders of tiles, or layers, with the same bands
    out
        Folder to write: change.tif (labels of the legend `change`), score.tif (probability of change, without a run a rank), change.gpkg,
        summary.json, report.html, manifest.json, on the grid of the post image; where land cover is known also transitions.csv, and
        by a run of classes from → to cover_pre.tif and cover_post.tif.
    options : method, threshold, run and alignment
    event : what the map is of; dates that are not given are taken from the images' tags
    resume, overwrite : continue an interrupted job; replace the products in a folder that exists
    progress : called with the share of the prediction that is done, 0–1
    executor : computes the tiles in other processes, see `jobs.executors`

    Returns
    -------
    ChangeMap
        Files, polygons and figures.

    Raises
    ------
    InputError
        The images make no pair, a run is none of change, or land cover has no legend.
    GridError
        The images, or land cover and the post image, do not overlap.
    RunError
        The pair does not fit the run.
    OutputError
        The folder holds something already, or cannot be written.

    Peak memory: some 0.8 GB and all polygons with a method without training; more with a run.

    Examples
    --------
    ::

        change = map_change("pre.tif", "post.tif", "change", ChangeOptions(min_area_m2=100))
        print(change.summary["area"]["changed_ha"], change.polygons.head())
    """
    return ChangeJob(pre, post, JobOutput(Path(out), resume, overwrite), options, event).run(progress, executor)


@dataclass(frozen=True)
class ChangeJob:
    """A map of what changed between two images, as `map_change` makes it."""

    pre: LayerLike
    post: LayerLike
    output: JobOutput
    options: ChangeOptions = ChangeOptions()
    event: EventInfo = EventInfo()

    def check(self) -> Run | None:
        """Refuse outputs that are inputs, and options that do not fit each other; the run of the options, None without one."""
        read = self.pre, self.post, *self.options.further_inputs.values()
        self.output.check_apart((*PRODUCTS, *COVER_PRODUCTS), *read)
        check_options(self.options)
        return load_change_run(self.options)

    @property
    def _known_output(self) -> JobOutput:
        """The output with all that its products follow from."""
        inputs = {DateLayers.pre: self.pre, DateLayers.post: self.post, **self.options.sources}
        return self.output.for_job(inputs, self.options, event=self.event.to_dict())

    def describe(self) -> str:
        """Return what would be done, in one line, after all checks. Raises the errors of `map_change`."""
        self.check()
        self._known_output.check()
        pair = open_pair(self.pre, self.post, self.options)
        with_method_of(pair, self.options)
        rows, cols = pair.scene.shape
        return f"{rows} x {cols} px would be mapped into {self.output.out}; registration {pair.registration.status}"

    def run(self, progress: Progress | None = None, executor: Executor | None = None) -> ChangeMap:
        """Make the map. Raises the errors of `map_change`."""
        run, output = self.check(), self._known_output  # refused before the pair is registered
        with output.begin() as scratch, gdal_cache():
            pair = open_pair(self.pre, self.post, self.options)
            event = self.event.with_tags(pair.scene.layers[DateLayers.pre], pair.scene.layers[DateLayers.post])
            job = replace(self, output=output, options=with_method_of(pair, self.options), event=event)
            return _write(job, pair, run, scratch.of(*_identity(pair, job.options)), progress, executor)


def _write(
    job: ChangeJob, pair: ChangePair, trained: Run | None, folder: Path, progress: Progress | None, executor: Executor | None
) -> ChangeMap:  # fmt: skip
    """Make all products and publish them. trained : run of the options; None without one. folder : of what is finished."""
    from deepnets4eo.change.products import write_products

    options, event = job.options, job.event
    run, scene, notes = prepare(pair, trained, folder, options)
    labels, probabilities, kept = folder / "labels.tif", folder / "probabilities.tif", KeptFiles(folder)
    if not kept.has(labels.name, probabilities.name):
        from deepnets4eo.prediction import PredictOptions, predict

        log.info("predicting change …")
        work = PredictOptions(
            probabilities=probabilities, memory_bytes=options.memory_bytes, workers=options.workers,
            device=options.device, resume=True, overwrite=True, scratch=True, executor=executor,
        )  # fmt: skip
        predict(run, scene, labels, work, progress=progress)
        kept.note(labels.name, probabilities.name)
    findings = [*event.findings(), *pair.findings, *method_findings(pair, run)]
    with job.output.products() as hidden:
        products = ChangeProducts(hidden.folder)
        covers = covers_of(run, labels, products, pair, event)
        by_class = trained is not None and not options.refines  # else a threshold or the refined scores decide
        classes = Layer.open(labels) if by_class else None
        scores = change_scores(Layer.open(probabilities), run.legend, str(run.folder), classes=classes)
        of_rasters = write_rasters(scores, products, scene, options, event)
        doubts = doubt_findings(Layer.open(products.score), pair.doubt)
        pair, findings = pair if doubts else replace(pair, doubt=None), [*doubts, *findings, *of_rasters]
        polygons, summary, names = write_products(pair, products, notes, options, event, findings, covers)
        paths = hidden.publish(names, known=COVER_PRODUCTS)
    return ChangeMap(paths, polygons, summary, tuple(worst_first(findings)))


def _identity(pair: ChangePair, options: ChangeOptions) -> tuple[Any, ...]:
    """Return the values that identify a job's finished work: other images, registrations or options make another job."""
    shaping = replace(options, workers=0, memory_bytes=0, min_area_m2=0.0, refine=None, cover_pre=None, cover_post=None)
    masks = [Path(path) for path in (options.cloud_mask_pre, options.cloud_mask_post) if path is not None]
    model = None if options.model is None else RunFolder(options.model).card
    return pair.scene.layers, shaping, masks, model, pair.registration.matrix
