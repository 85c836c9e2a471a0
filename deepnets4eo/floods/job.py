"""The flood job: images before and after in, a folder of products out: labels, probability, polygons, summary, page, manifest.

Each date may be of another sensor (see `floods.scene`). Streamed and resumable, and computers can share the work.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from deepnets4eo.floods.layer_names import FIRST, POST
from deepnets4eo.floods.mapper import WaterMapper
from deepnets4eo.floods.options import LABELS, PROBABILITY, FloodOptions
from deepnets4eo.floods.page import SUBJECT, flood_page
from deepnets4eo.floods.scene import FloodScene, open_flood_scene
from deepnets4eo.jobs import Executor, JobOutput, Progress
from deepnets4eo.maps import Drawn, MapJob, Measured, RegionMap, RegionPage
from deepnets4eo.outputs import EventInfo
from deepnets4eo.rasters import LayerLike
from deepnets4eo.segmenters import kept_run

log = logging.getLogger(__name__)


class FloodMap(RegionMap):
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
    executor: Executor | None = None,
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
    executor : computes the tiles in other processes, see `jobs.executors`

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
    return FloodJob(pres, post, output, options, event or EventInfo()).run(progress, executor)


@dataclass(frozen=True)
class FloodJob(MapJob[FloodScene, FloodMap]):
    """A map of a flood, or one part of the work for it, as `map_flood` does it."""

    name: ClassVar[str] = "flood"
    subject: ClassVar[str] = SUBJECT
    doing: ClassVar[str] = "looking for water"
    rasters: ClassVar[tuple[str, ...]] = (LABELS, "flood.qml", f"{LABELS}.aux.xml", PROBABILITY)
    result: ClassVar[type[RegionMap]] = FloodMap

    pres: Sequence[LayerLike]
    post: LayerLike
    output: JobOutput
    options: FloodOptions = FloodOptions()
    event: EventInfo = EventInfo()

    @property
    def images(self) -> dict[str, Any]:
        """Role → image, or list of images."""
        return {"pre": list(self.pres), POST: self.post}

    def open(self, kept: Path | None = None) -> FloodScene:
        """Open, recognise, register and mask all dates."""
        return open_flood_scene(self.pres, self.post, self.options, kept)

    def identity(self, opened: FloodScene) -> tuple[Any, ...]:
        """Return images, the options that decide the labels, and the registration."""
        deciding = replace(
            self.options, workers=1, memory_bytes=0, part=None, min_area_m2=0.0, footprints=None, cover=None, seed=0, language="en",
        )  # fmt: skip
        further = [Path(source) if isinstance(source, str) else source for source in deciding.further_inputs.values()]
        motion = None if opened.registration is None else opened.registration.matrix
        return opened.scene.layers, deciding, further, motion

    def measure(self, opened: FloodScene, folder: Path) -> Measured:
        """Return this scene's segmenter, kept on disk for the parts of the job and for a resumed job."""
        days = {name: day for name, day in ((FIRST, self.event.date_pre), (POST, self.event.date_post)) if day}

        def measure() -> WaterMapper:
            log.info("measuring every date …")
            return WaterMapper.of_scene(opened.scene, self.options.radar, days=days, dates=opened.dates)

        return Measured(kept_run(folder / "run", measure, self.options.seed), opened.scene)

    def computing(self) -> dict[str, Any]:
        """Return how tiles are computed."""
        return super().computing() | {"precision": self.options.precision, "runtime": self.options.runtime}

    def draw(self, opened: FloodScene, measured: Measured, folder: Path, products: Path) -> Drawn:
        """Decide what is surely wet or dry, write labels and probability; return polygons, figures and findings."""
        from deepnets4eo.floods.products import draw_flood

        return draw_flood(opened, measured, folder, products, self.options, self.event)

    def page(self, opened: FloodScene, drawn: Drawn, summary: dict[str, Any]) -> RegionPage:
        """Return the content of the page."""
        return flood_page(opened, drawn, summary, self.options.language)
