"""The flood job: images before and after in, a folder of products out: labels, probability, polygons, summary, page, manifest.

Each date may be of another sensor (see `floods.scene`). Streamed and resumable, and computers can share the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.options import LABELS, MANIFEST, POLYGONS, PROBABILITY, FloodOptions
from deepnets4eo.floods.rasters import level_findings, mode_findings, write_rasters
from deepnets4eo.floods.recognition import measure_recognition, write_sure_water, write_without_flood
from deepnets4eo.floods.scene import FloodScene, open_flood_scene
from deepnets4eo.jobs import JobOutput, KeptFiles, Progress, Workers
from deepnets4eo.outputs import EventInfo, Finding
from deepnets4eo.rasters import Layer, LayerLike, gdal_cache
from deepnets4eo.segmenters import Run, kept_run

if TYPE_CHECKING:
    import geopandas as gpd

log = logging.getLogger(__name__)

SURE = "sure.tif"  # labels of a scene in which water is not recognised, or no flood is expected
PRODUCTS = (LABELS, "flood.qml", f"{LABELS}.aux.xml", PROBABILITY, POLYGONS, "summary.json", "report.html", MANIFEST)


@dataclass(frozen=True)
class FloodMap:
    """Results of a flood job.

    Attributes
    ----------
    paths : file name → file
    polygons
        One row per region of flood (of water, without a date before), the largest first: id, area_m2 with area_low_m2 and
        area_high_m2, score.
    summary : the contents of summary.json
    findings : limits of the map's reliability, worst first
    """

    paths: dict[str, Path]
    polygons: gpd.GeoDataFrame
    summary: dict[str, Any]
    findings: tuple[Finding, ...]

    def headline(self) -> str:
        """Return the flooded area with its interval, if there is one, and the buildings in it, in one line."""
        from deepnets4eo.floods.figures import headline

        return headline(self.summary)


def map_flood(
    pres: Sequence[LayerLike],
    post: LayerLike,
    out: str | Path,
    options: FloodOptions | None = None,
    *,
    event: EventInfo | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> FloodMap | None:
    """Map the flooded area.

    Peak memory: about 1.5 GB, whatever the size of the images; and all polygons.

    Parameters
    ----------
    pres : images before, radar or optical, or none. Of several images, more than half must show flood
    post
        The image of the flood, whose grid the map has. Optical images with pixels finer than 1 m are averaged to about 1 m.
    out
        Folder to write: flood.tif (legend `water`: dry, permanent water, flood, 255 not seen), probability.tif (of water),
        flood.gpkg, summary.json, report.html, manifest.json.
    options : settings of the map
    event : the event that the map shows; missing dates are taken from the images' tags
    resume, overwrite : continue an interrupted job; replace the products in an existing folder
    progress : called with the finished share of the prediction, 0–1

    Returns
    -------
    FloodMap | None
        Files, polygons and figures; None for a part of a job.

    Raises
    ------
    InputError
        A date shows no water by any of its bands, radar dates do not belong together, or an option does not fit.
    GridError
        The images do not overlap, or only one of them is georeferenced.
    OutputError
        The folder is not empty, or cannot be written.

    Examples
    --------
    ::

        flood = map_flood(["s1_before.tif"], "s1_after.tif", "flood", FloodOptions(footprints="houses.gpkg"))
        print(flood.headline())
    """
    options = options or FloodOptions()
    output = JobOutput(Path(out), resume, overwrite, options.part)
    return FloodJob(pres, post, output, options, event or EventInfo()).run(progress)


@dataclass(frozen=True)
class FloodJob:
    """A map of a flood, or one part of the work for it, as `map_flood` does it."""

    pres: Sequence[LayerLike]
    post: LayerLike
    output: JobOutput
    options: FloodOptions = FloodOptions()
    event: EventInfo = EventInfo()

    def check(self) -> None:
        """Refuse outputs that are inputs. Errors: OutputError."""
        self.output.check_apart(PRODUCTS, *self.pres, self.post, *self.options.further_inputs.values())

    @property
    def _known_output(self) -> JobOutput:
        """The output with all that its products follow from."""
        inputs = {"pre": list(self.pres), POST: self.post, **self.options.sources}
        return self.output.for_job(inputs, self.options, event=self.event.to_dict())

    def describe(self) -> str:
        """Return the planned work in one line, after all checks. Errors: as for `map_flood`."""
        self.check()
        self._known_output.check()
        opened = open_flood_scene(self.pres, self.post, self.options)
        rows, cols = opened.scene.shape
        kinds = ", ".join(f"{name} {kind}" for name, kind in opened.kinds.items())
        return f"{rows} x {cols} px would be mapped into {self.output.out}; {kinds}"

    def run(self, progress: Progress | None = None) -> FloodMap | None:
        """Make the map, or the part of the output that this job is for. Errors: as for `map_flood`."""
        self.check()
        output = self._known_output
        with output.begin() as scratch, gdal_cache():
            opened = open_flood_scene(self.pres, self.post, self.options, scratch.folder)
            event = self.event
            days = {name: day for name, day in ((FIRST, event.date_pre), (POST, event.date_post)) if day}
            job = replace(
                self, output=output, event=event.with_tags(opened.scene.layers.get(FIRST), opened.scene.layers[POST])
            )
            folder = scratch.of(*_identity(opened, job.options))
            run = _measured_run(opened, job.options, folder, days)
            _label(job, opened, run, folder, progress)
            return None if job.output.part is not None else _write(job, opened, run, folder)


def _measured_run(opened: FloodScene, options: FloodOptions, folder: Path, days: dict[str, str]) -> Run:
    """Return this scene's segmenter, kept on disk for the parts of the job and for a resumed job."""

    def measure() -> WaterMapper:
        log.info("measuring every date …")
        return WaterMapper.of_scene(opened.scene, options.radar, days=days, dates=opened.dates)

    return kept_run(folder / "run", measure, options.seed)


def _label(job: FloodJob, opened: FloodScene, run: Run, folder: Path, progress: Progress | None) -> None:
    """Label the scene, or the part of it, into the folder of what is finished; what is there stays."""
    kept = KeptFiles(folder)
    if kept.has(LABELS, PROBABILITY):
        return
    from deepnets4eo.prediction import PredictOptions, predict

    log.info("looking for water …")
    options, part = job.options, job.output.part
    for name in (LABELS, PROBABILITY):
        (folder / name).unlink(missing_ok=True)  # damaged
    with (Workers() if options.processes is None else Workers.parse(options.processes)).executor() as executor:
        work = PredictOptions(
            probabilities=folder / PROBABILITY, memory_bytes=options.memory_bytes, workers=options.workers, part=part,
            resume=part is None, overwrite=part is None, device=options.device, precision=options.precision,
            runtime=options.runtime, scratch=True, executor=executor,
        )  # fmt: skip
        predict(run, opened.scene, folder / LABELS, work, progress=progress)
    if part is None:
        kept.note(LABELS, PROBABILITY)


def _write(job: FloodJob, opened: FloodScene, run: Run, folder: Path) -> FloodMap:
    """Make all products and publish them. folder : of what is finished."""
    from deepnets4eo.floods.products import write_products

    options, event, mapper = job.options, job.event, run.segmenter
    assert isinstance(mapper, WaterMapper)
    labels, dry = Layer.open(folder / LABELS), Layer.open(folder / PROBABILITY)
    recognition = measure_recognition(opened.scene, mapper, labels)
    # whoever maps a flood says that there is one: colours of which nothing is found do not prove that there is none
    flooded = True if event.is_flood is None and mapper.dates[POST].by_appearance else event.is_flood
    doubt = recognition.finding(flooded, "look_for_water")
    first = [] if doubt is None else [doubt]
    findings = [*first, *event.findings(), *opened.findings, *level_findings(mapper), *mode_findings(mapper)]
    sure = labels
    if event.is_flood is False and mapper.dates[POST].by_appearance:
        sure = write_without_flood(labels, folder / SURE) or labels
        findings = [*_dry_hazard(event, sure is not labels), *findings]
    elif doubt is not None:
        reach_m = recognition.doubted_m(flooded)
        sure = write_sure_water(labels, folder / SURE, opened.scene, mapper, opened.outlines, dry, reach_m)
    with job.output.products() as products:
        write_rasters(sure, dry, products.folder, event)
        polygons, summary, names, findings = write_products(
            opened, mapper, products.folder, options, event, findings, None if sure is labels else labels
        )
        paths = products.publish(names)
    return FloodMap(paths, polygons, summary, tuple(findings))


def _dry_hazard(event: EventInfo, is_wet: bool) -> list[Finding]:
    """Report that new water was found by its colour although the event is no flood. is_wet : whether it was"""
    name = Finding.verbatim(event.name)
    return [Finding("flood_at_dry_hazard", "caution", {"name": name})] if is_wet else []


def _identity(opened: FloodScene, options: FloodOptions) -> tuple[Any, ...]:
    """Return the identity of the job that finished work belongs to: other images, registrations or options make another job."""
    motion, shaping = None if opened.registration is None else opened.registration.matrix, options.shaping
    further = [Path(source) if isinstance(source, str) else source for source in shaping.further_inputs.values()]
    return opened.scene.layers, shaping, further, motion
