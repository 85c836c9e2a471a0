"""The change job: two images in, a folder of products out: labels, scores, polygons, summary, page, manifest.

Without a run, a classical method is fitted to the pair itself; with one, its network decides. Streamed and resumable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from deepnets4eo.change.classical.detector import DateLayers
from deepnets4eo.change.deciding import check_options, load_change_run, prepare, with_method_of
from deepnets4eo.change.options import ChangeOptions
from deepnets4eo.change.page import SUBJECT, change_page, headline
from deepnets4eo.change.pair import ChangePair, open_pair
from deepnets4eo.change.transitions import CoverLayers
from deepnets4eo.jobs import Executor, JobOutput, Progress
from deepnets4eo.maps import Drawn, MapJob, Measured, RegionMap, RegionPage
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import LayerLike
from deepnets4eo.segmenters import RunFolder

COVER_PRODUCTS = (
    "transitions.csv",
    *(f"{name}{end}" for name in (CoverLayers.pre, CoverLayers.post) for end in (".tif", ".qml", ".tif.aux.xml")),
)  # where land cover of both dates is known


class ChangeMap(RegionMap):
    """Output of a change job.

    Attributes
    ----------
    paths : file name → file
    polygons
        One row per region of change, the largest first: id, area_m2, score.
    summary : the contents of summary.json
    findings : limits of the map's reliability, worst first
    """

    def headline(self) -> str:
        """Return the changed area in one line, with its interval if it has one, and what the interval does not include."""
        return headline(self.summary)


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
    job = ChangeJob(pre, post, JobOutput(Path(out), resume, overwrite), options, event)
    made = job.run(progress, executor)
    assert made is not None  # the output is no part
    return made


@dataclass(frozen=True)
class ChangeJob(MapJob[ChangePair, ChangeMap]):
    """A map of what changed between two images, as `map_change` makes it."""

    name: ClassVar[str] = "change"
    subject: ClassVar[str] = SUBJECT
    doing: ClassVar[str] = "predicting change"
    rasters: ClassVar[tuple[str, ...]] = ("change.tif", "change.qml", "change.tif.aux.xml", "score.tif")
    further: ClassVar[tuple[str, ...]] = COVER_PRODUCTS
    result: ClassVar[type[RegionMap]] = ChangeMap

    pre: LayerLike
    post: LayerLike
    output: JobOutput
    options: ChangeOptions = ChangeOptions()
    event: EventInfo = EventInfo()

    @property
    def images(self) -> dict[str, Any]:
        """Role → image."""
        return {DateLayers.pre: self.pre, DateLayers.post: self.post}

    def check(self) -> None:
        """Refuse outputs that are inputs, and options that do not fit each other."""
        super().check()
        check_options(self.options)

    def open(self, kept: Path | None = None) -> ChangePair:
        """Open the run of the options, which is refused before the pair is registered; open, check and register the pair."""
        run = load_change_run(self.options)
        return replace(open_pair(self.pre, self.post, self.options), run=run)

    def fit_options(self, opened: ChangePair) -> Self:
        """Return the job with the method that suits the pair: embeddings are compared by their cosine."""
        return replace(self, options=with_method_of(opened, self.options))

    def identity(self, opened: ChangePair) -> tuple[Any, ...]:
        """Return images, the options that decide the labels, and the registration."""
        deciding = replace(
            self.options, workers=1, memory_bytes=0, min_area_m2=0.0, refine=None, cover_pre=None, cover_post=None, language="en",
        )  # fmt: skip
        masks = [Path(path) for path in (self.options.cloud_mask_pre, self.options.cloud_mask_post) if path is not None]
        model = None if self.options.model is None else RunFolder(self.options.model).card
        return opened.scene.layers, deciding, masks, model, opened.registration.matrix

    def measure(self, opened: ChangePair, folder: Path) -> Measured:
        """Return the run that labels the pair, the scene that it reads, and the method with its threshold."""
        return prepare(opened, folder, self.options)

    def draw(self, opened: ChangePair, measured: Measured, folder: Path, products: Path) -> Drawn:
        """Write scores, labels and land cover; return polygons, figures and findings."""
        from deepnets4eo.change.products import draw_change

        return draw_change(opened, measured, folder, products, self.options, self.event)

    def page(self, opened: ChangePair, drawn: Drawn, summary: dict[str, Any]) -> RegionPage:
        """Return the content of the page."""
        return change_page(opened, drawn, summary, self.options.language)
