"""The job of every map of regions: check, open, measure, label, draw, write; streamed, resumable, published at once.

A branch states what it reads, opens it, measures its segmenter and draws its products. Everything else is here: the lock,
finished work, labels by tiles, polygons with their event and style, summary.json, the page and manifest.json.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from deepnets4eo.files import write_json
from deepnets4eo.jobs import Executor, FileJob, JobOutput, KeptFiles, Progress, Scratch
from deepnets4eo.maps.region_page import RegionPage
from deepnets4eo.outputs import (
    EventInfo,
    Finding,
    describe,
    filled_qml,
    manifest,
    worst_first,
    write_event,
    write_styles,
)
from deepnets4eo.polygons import write_layers
from deepnets4eo.rasters import Layer, areas_in_pixels, gdal_cache
from deepnets4eo.segmenters import Run

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.rasters import Scene

log = logging.getLogger(__name__)

LABELS, PROBABILITIES = "labels.tif", "probabilities.tif"  # of the folder of what is finished
SUMMARY, PAGE, MANIFEST = "summary.json", "report.html", "manifest.json"


class OpenedScene(Protocol):
    """The inputs as a branch opened them.

    Attributes
    ----------
    scene : the layers on one grid
    images : role → image, as the manifest names them
    dated : the images before and after, whose tags state dates and sensors; None without an image before
    """

    @property
    def scene(self) -> Scene:
        """The layers on one grid."""

    @property
    def images(self) -> Mapping[str, Layer]:
        """Role → image, as the manifest names them."""

    @property
    def dated(self) -> tuple[Layer | None, Layer]:
        """The images before and after, whose tags state dates and sensors."""

    def __str__(self) -> str:
        """Return in words how the inputs were opened, for a dry run."""


Opened = TypeVar("Opened", bound=OpenedScene)


@dataclass(frozen=True)
class Measured:
    """A segmenter that labels a scene.

    Attributes
    ----------
    run : the segmenter
    scene : the layers that the run reads
    notes : for the figures of the branch
    """

    run: Run
    scene: Scene
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Style:
    """Appearance of the polygons of a map in QGIS.

    Attributes
    ----------
    name : of the class
    colour : red, green and blue, 0–255
    title : of the layer's style
    """

    name: str
    colour: Sequence[int]
    title: str


@dataclass(frozen=True)
class Drawn:
    """Polygons, figures and findings that a branch made from the labels.

    Attributes
    ----------
    layers : name → polygons of the GeoPackage, the map's own first, the largest polygon first
    style : of the map's own polygons
    figures : for summary.json, with `area` and `registration`
    findings : limits of the map
    labels : raster of the map's labels, void in pixels without a known label
    score : raster of every pixel, in bytes, for the page
    notes : what was measured of the computation, which the manifest states with the options
    """

    layers: Mapping[str, gpd.GeoDataFrame]
    style: Style
    figures: Mapping[str, Any]
    findings: Sequence[Finding]
    labels: Layer
    score: Layer
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def polygons(self) -> gpd.GeoDataFrame:
        """The map's own polygons."""
        return next(iter(self.layers.values()))


@dataclass(frozen=True)
class RegionMap(ABC):
    """Results of a job that maps regions.

    Attributes
    ----------
    paths : file name → file
    polygons : one row per region, the largest first, with id, area_m2 and score
    summary : the contents of summary.json
    findings : limits of the map's reliability, worst first
    """

    paths: dict[str, Path]
    polygons: gpd.GeoDataFrame
    summary: dict[str, Any]
    findings: tuple[Finding, ...]

    @abstractmethod
    def headline(self) -> str:
        """Return the result in one line."""


Result = TypeVar("Result", bound=RegionMap)


class MapJob(FileJob[str, Result | None], Generic[Opened, Result]):
    """A map of regions, or one part of the work for it.

    Subclasses are frozen dataclasses with the fields `output`, `options` and `event`, and with further fields for what they read.

    Attributes
    ----------
    name : of the product, its GeoPackage and the layer in it
    subject : title of the map
    doing : what labelling the scene means, for the log
    rasters : files that `draw` always writes
    further : files that some maps have
    result : the class of what the job returns
    options
        A dataclass with `memory_bytes`, `workers` and `device`, whose values the manifest states. Its property `sources` has what is read in
        addition to the images by role, None for what is not given.
    """

    name: ClassVar[str]
    subject: ClassVar[str]
    doing: ClassVar[str]
    rasters: ClassVar[tuple[str, ...]]
    further: ClassVar[tuple[str, ...]] = ()
    result: ClassVar[type[RegionMap]]

    output: JobOutput
    options: Any
    event: EventInfo

    @property
    @abstractmethod
    def images(self) -> Mapping[str, Any]:
        """Role → image that is read, or a list of images."""

    @abstractmethod
    def open(self, kept: Path | None = None) -> Opened:
        """Open the inputs, and check that they belong together. kept : folder for what is finished; without it nothing is written"""

    @abstractmethod
    def identity(self, opened: Opened) -> tuple[Any, ...]:
        """Return the values that identify finished work: images, registration, and the options that decide the labels."""

    @abstractmethod
    def measure(self, opened: Opened, folder: Path) -> Measured:
        """Return what labels the scene. folder : of what is finished, for what is measured once"""

    @abstractmethod
    def draw(self, opened: Opened, measured: Measured, folder: Path, products: Path) -> Drawn:
        """Write `rasters` from the labels and probabilities in `folder` into `products`, and return all else."""

    @abstractmethod
    def page(self, opened: Opened, drawn: Drawn, summary: dict[str, Any]) -> RegionPage:
        """Return the content of the page of a map."""

    def fit_options(self, opened: Opened) -> Self:
        """Return the job with the options that suit what was opened."""
        return self

    def computing(self) -> dict[str, Any]:
        """Return the options of `PredictOptions` that state how tiles are computed."""
        return {name: getattr(self.options, name) for name in ("memory_bytes", "workers", "device")}

    @classmethod
    def products(cls) -> tuple[str, ...]:
        """Return the names of the files that every map has, the last one last."""
        return (*cls.rasters, f"{cls.name}.gpkg", SUMMARY, PAGE, MANIFEST)

    @property
    def sources(self) -> dict[str, Any]:
        """Role → what is read; None for what is not given."""
        return {**self.images, **self.options.sources}

    @property
    def known_products(self) -> tuple[str, ...]:
        """Names of all files that such a map may have."""
        return (*self.products(), *self.further)

    @property
    def shaping(self) -> tuple[Any, ...]:
        """The options and the event."""
        return {"event": self.event.to_dict()}, self.options

    def foresee(self) -> str:
        """Open and check the inputs, and return the planned work in one line."""
        opened = self.open()
        self.fit_options(opened)
        rows, cols = opened.scene.shape
        return f"{rows} x {cols} px would be mapped into {self.output.out}; {opened}"

    def make(self, scratch: Scratch, progress: Progress | None, executor: Executor | None) -> Result | None:
        """Make the map; None for a part of it. progress : called with the finished share of the labelling"""
        with gdal_cache():
            opened = self.open(scratch.folder)
            job = self.fit_options(opened)
            folder = scratch.of(*job.identity(opened))
            measured = job.measure(opened, folder)
            job._label(measured, folder, progress, executor)
            if self.output.part is not None:
                return None
            return replace(job, event=job.event.with_tags(*opened.dated))._write(opened, measured, folder)  # type: ignore[type-var]

    def _label(self, measured: Measured, folder: Path, progress: Progress | None, executor: Executor | None) -> None:
        """Label the scene, or the part of it, into the folder of what is finished; what is there stays."""
        kept, part = KeptFiles(folder), self.output.part
        if kept.has(LABELS, PROBABILITIES):
            return
        from deepnets4eo.prediction import PredictOptions, predict

        log.info("%s …", self.doing)
        for name in (LABELS, PROBABILITIES):
            (folder / name).unlink(missing_ok=True)  # damaged
        work = PredictOptions(
            probabilities=folder / PROBABILITIES, part=part, resume=part is None, overwrite=part is None,
            scratch=True, executor=executor, **self.computing(),
        )  # fmt: skip
        predict(measured.run, measured.scene, folder / LABELS, work, progress=progress)
        if part is None:
            kept.note(LABELS, PROBABILITIES)

    def _write(self, opened: Opened, measured: Measured, folder: Path) -> Result:
        """Make all products and publish them. folder : of what is finished."""
        with self.output.products() as hidden:
            drawn = self.draw(opened, measured, folder, hidden.folder)
            file = write_layers(drawn.layers, hidden.folder / f"{self.name}.gpkg")
            write_event(file, self.event, self.subject, self.name)
            style = drawn.style
            write_styles(file, [(self.name, style.name, filled_qml(style.colour), style.title)])
            findings = list(worst_first(drawn.findings))
            summary = self._summary(opened, drawn, findings)
            write_json(hidden.folder / SUMMARY, summary)
            page = self.page(opened, drawn, summary)
            page.write(hidden.folder / PAGE, drawn.score, drawn.polygons, summary, self.event, findings)
            names = sorted(item.name for item in hidden.folder.iterdir())
            parameters = asdict(self.options) | dict(drawn.notes)
            write_json(
                hidden.folder / MANIFEST, manifest(summary, parameters, self._inputs(opened), hidden.folder, names)
            )
            paths = hidden.publish([*names, MANIFEST], known=self.further)
        return self.result(paths, drawn.polygons, summary, tuple(findings))  # type: ignore[return-value]

    def _summary(self, opened: Opened, drawn: Drawn, findings: Sequence[Finding]) -> dict[str, Any]:
        """Return the contents of summary.json."""
        summary = {
            "product": f"deepnets4eo {self.name} map",
            "synthetic": opened.scene.synthetic,
            "event": self.event.to_dict(),
            **drawn.figures,
            "findings": [finding.to_dict() for finding in findings],
        }
        return summary if opened.scene.grid.crs is not None else dict(areas_in_pixels(summary))

    def _inputs(self, opened: Opened) -> dict[str, Any]:
        """Return the files that were read by role, for the manifest."""
        images = {
            role: [describe(path) for path in image.paths] or describe(image.source)
            for role, image in opened.images.items()
        }
        further = {role: source for role, source in self.options.sources.items() if source is not None}
        return images | {role: describe(source) for role, source in further.items()}
