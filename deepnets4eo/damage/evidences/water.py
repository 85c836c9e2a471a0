"""Water as evidence: its extent in and around buildings, seen in the images or taken from a raster of the user."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, cast

import numpy as np

from deepnets4eo.addresses import file_name_of
from deepnets4eo.damage.evidences.shown_water import ShownWater
from deepnets4eo.damage.images.dates import in_colour, mean_gsd
from deepnets4eo.damage.site.phases import Phase
from deepnets4eo.damage.site.site import Site, WaterAround
from deepnets4eo.damage.site.work import WATER
from deepnets4eo.files import read_json, write_json, write_text
from deepnets4eo.floods import (
    BuildingWater,
    Recognition,
    SurfaceRules,
    WaterMapper,
    is_flood_map,
    measure_recognition,
    open_new_water,
    surface_scene,
    water_around,
    with_mud,
    write_seen_water,
    write_sure_water,
)
from deepnets4eo.grid import Grid
from deepnets4eo.jobs import KeptFiles, Part, Progress
from deepnets4eo.outputs import Finding, Phrase, Severity
from deepnets4eo.rasters import BLOCK_PX, CogWriter, Layer, Scene
from deepnets4eo.registration import UNMOVED, Role
from deepnets4eo.segmenters import Run, kept_run

logger = logging.getLogger(__name__)

# Of the folder in which water is looked for: measurements of the images, labels, labels that are known, and how well water is recognised.
RUN, MAPPED, MUDDY, SEEN, RECOGNITION = "run", "water.tif", "water_mud.tif", "water_seen.tif", "recognition.json"
MAX_SHARES = 64  # bands of rows that other processes label


class Water:
    """Water in and around each building.

    The search labels tiles of both images, the longest work of a job without a network. Parts of a job label bands of rows, which the job
    that makes the map joins."""

    name = WATER
    phase = Phase.MEASURES
    open_given = ShownWater.of_file
    open_product = ShownWater.of_product

    @contextmanager
    def ahead(self, site: Site) -> Iterator[None]:
        """Provide a context during whose work water in the images is also searched for, and kept for `find_water`.

        The context ends when both are done, or if either failed.
        """
        scratch = site.work.folder(self.name)
        if (
            scratch is None or site.work.finish is not None or not _is_searched_for(site)
        ):  # others label the tiles later
            yield
            return
        ended = Event()

        def go_on(_: float) -> None:
            if ended.is_set():
                raise CancelledError

        with ThreadPoolExecutor(1) as pool, ExitStack() as failed:
            failed.callback(ended.set)
            search = pool.submit(_seen_water, site, scratch, max(1, site.settings.workers // 2), go_on)
            yield
            failed.pop_all()  # the work of the context ended well
        search.result()

    def steps(self) -> dict[str, Callable[[Site], object]]:
        """Return the step over the images, whose blocks several processes do."""
        return {WATER: self.share}

    def share(self, site: Site) -> None:
        """Label the share of the images that this process of the job does, or let other processes label all of it."""
        folder, work = site.work.folder(self.name), site.work
        if folder is None or not _is_searched_for(site) or KeptFiles(folder).has(SEEN, RECOGNITION):
            return
        folder.mkdir(parents=True, exist_ok=True)
        if work.finish is None:
            _label(site, folder, site.settings.workers, part=work.share)
            return
        height = _dates(site, surfaces_alone=not site.settings.network).grid.shape[0]
        total = min(MAX_SHARES, -(-height // BLOCK_PX))
        bands = {str(part): part for part in (Part(number, total) for number in range(1, total + 1))}
        done = [name for name, part in bands.items() if (folder / part.mark).is_file()]

        def label_band(name: str) -> None:
            _label(site, folder, 1, part=bands[name])
            write_text(folder / bands[name].mark, "")

        work.finish(WATER, list(bands), label_band, done, None)

    def measure(self, site: Site) -> Site:
        """Return the site with its water; only with a finding if POST cannot show it, unchanged if water is not sought, and in a part of a job."""
        if site.work.part is not None or site.work.finish is not None:
            self.share(site)
        if site.work.part is not None:
            return site
        return replace(site, water=find_water(site)).with_findings(_not_shown(site))


def _not_shown(site: Site) -> tuple[Finding, ...]:
    """Report that POST cannot show water; nothing if a map of water was given, or a dry hazard is named, or water is not sought."""
    if site.settings.water is not None or site.event.is_flood is False or _shows_water(site, "post"):
        return ()
    advice = site.event.hazard_advice or Phrase("give_water")
    severity: Severity = "caution" if site.event.is_only_flood else "note"
    return (Finding("water_not_shown", severity, {"coarsest_m": SurfaceRules.coarsest_m, "remedy": advice}),)


def find_water(site: Site) -> WaterAround | None:
    """Return water in and around each building, or None if it is not sought or if POST cannot show it."""
    settings, post, outlines, scratch = site.settings, site.post, site.outlines, site.work.folder(Water.name)
    if not settings.seeks_water or (settings.water is None and not _may_show_water(site)):
        return None
    reach_m = site.position.reach_m
    with nullcontext(scratch) if scratch is not None else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        recognition, doubt, unproven = None, None, None
        if settings.water is not None:
            water, source = _given_water(settings.water, post.grid, folder / MAPPED), file_name_of(settings.water)
            is_new = True
        else:
            water, source = _seen_water(site, folder, settings.workers), "seen in the images"
            is_new = _shows_water(site, "pre")
            recognition = Recognition(**read_json(folder / RECOGNITION))
            is_dry = site.event.is_flood is False  # a name that water in the images outweighs
            flooded = None if is_dry else site.event.is_only_flood
            doubt = recognition.finding(flooded, "give_water")
            if is_dry and doubt is None and recognition.is_none_found:
                return None
            unproven = None if is_dry else recognition.unproven(flooded, site.event.hazard_advice)
            if doubt is not None:
                mapper = cast(WaterMapper, _mapper_run(site, folder).segmenter)
                water = write_sure_water(
                    water, folder / "water_sure.tif", _dates(site), mapper, outlines, reach_m=recognition.doubted_m(flooded)
                )  # fmt: skip
        around = water_around(
            water, outlines, any_water=not is_new, reach_m=reach_m, pixel_m=_pixel_m(water.grid, post), nearby=doubt is None,
            workers=settings.workers,
        )  # fmt: skip
        on_page, states_dry = None, False
        if settings.water is not None:
            states_dry = not is_flood_map(settings.water)
            if not states_dry:
                around = _doubt_hidden_ground(around, site, settings.water, folder)
            on_page = ShownWater.of_file(settings.water, post.grid)
        elif is_new and not (recognition is not None and recognition.small):
            on_page = ShownWater.of_labels(water, post.grid)
    if recognition is not None and recognition.small:
        around = around.by_colour()
    if is_new:
        rasters = () if on_page is None else (on_page,)
        return WaterAround(around, source, is_new, 0, reach_m, doubt, unproven, rasters, states_dry)
    since_unknown = int(around.surrounded.sum())
    return WaterAround(around.of_unknown_date(), source, is_new, since_unknown, reach_m, doubt, unproven)


def _is_searched_for(site: Site) -> bool:
    """Return whether water is searched for in the images of the job."""
    return site.settings.seeks_water and site.settings.water is None and _may_show_water(site)


def _may_show_water(site: Site) -> bool:
    """Return whether POST can show new water: it is optical and fine. A dry hazard is outweighed only by water that a network sees."""
    return (site.event.is_flood is not False or site.settings.network) and _shows_water(site, "post")


def _shows_water(site: Site, role: Role) -> bool:
    """Return whether an image is optical, in colour and fine enough."""
    date = site.inputs.before if role == "pre" else site.inputs.after
    return date is not None and date.shows_colours(site.settings.sensor) and date.gsd_m <= SurfaceRules.coarsest_m


def _dates(site: Site, *, surfaces_alone: bool = False) -> Scene:
    """Return the images of the job in which water is sought; with surfaces only, PRE is read only if POST may show water."""
    inputs, registration = site.inputs, site.registration
    motion = registration.matrix if registration is not None and registration.usable else UNMOVED
    pre = in_colour(inputs.pre) if inputs.pre is not None and _shows_water(site, "pre") else None
    post = in_colour(inputs.post)
    dates = surface_scene(pre, post, inputs.after.gsd_m, motion, surfaces_alone=surfaces_alone)
    if inputs.cloud_mask is None:
        return dates
    from deepnets4eo.change import hide_clouds  # jobs without clouds start sooner

    return Scene(dates.layers | {"post": hide_clouds(dates.layers["post"], inputs.cloud_mask, dates.grid)}, dates.grid)


def _seen_water(site: Site, folder: Path, workers: int, progress: Progress | None = None) -> Layer:
    """Return the map of water in the images of the job, and how well water is recognised. workers : threads that read"""
    folder.mkdir(parents=True, exist_ok=True)
    mapped, labels, kept = folder / MAPPED, folder / SEEN, KeptFiles(folder)
    if not kept.has(labels.name, RECOGNITION):
        logger.info("looking for water around buildings …")
        mapper, dates = _label(site, folder, workers, progress=progress)
        scene, water = _dates(site), Layer.open(mapped)
        water, recognition = with_mud(water, folder / MUDDY, scene, mapper, measure_recognition(scene, mapper, water))
        write_json(folder / RECOGNITION, recognition.to_dict())
        write_seen_water(water, dates.layers["post"], mapper.inputs.gsd_m or 1.0, labels)
        kept.note(labels.name, RECOGNITION)
    return Layer.open(labels)


def _label(
    site: Site, folder: Path, workers: int, *, part: Part = Part.whole, progress: Progress | None = None
) -> tuple[WaterMapper, Scene]:
    """Label water in the images, or in a part of their rows; return the mapper and the images. workers : threads that read"""
    from deepnets4eo.prediction import PredictOptions, predict

    dates, run = _dates(site, surfaces_alone=not site.settings.network), _mapper_run(site, folder)
    is_whole, settings = part == Part.whole, site.settings
    options = PredictOptions(
        workers=workers, device=settings.device, precision=settings.precision, runtime=settings.runtime, scratch=True,
        resume=is_whole, overwrite=is_whole, part=None if is_whole else part,
    )  # fmt: skip
    predict(run, dates, folder / MAPPED, options, progress=progress)
    return cast(WaterMapper, run.segmenter), dates


def _mapper_run(site: Site, folder: Path) -> Run:
    """Return what finds water in the images, as it is kept in the folder."""
    alone = not site.settings.network
    dates = _dates(site, surfaces_alone=alone)
    pixel_m = _pixel_m(dates.grid, site.post)
    return kept_run(folder / RUN, lambda: WaterMapper.of_scene(dates, gsd_m=pixel_m, surfaces_alone=alone))


def _pixel_m(grid: Any, post: Layer) -> float:
    return float(mean_gsd(post) * post.shape[1] / grid.shape[1])


def _given_water(source: str, grid: Grid, labels: Path) -> Layer:
    """Write a map on a grid, and return it: 2 where the raster marks a flood, 0 elsewhere, 255 without data."""
    water = open_new_water(source, grid)
    with CogWriter(labels, grid, nodata=255) as writer:
        for window in writer.windows:
            wet, valid = water.read(window)
            writer.write(window, np.where(valid, 2 * wet[0], 255).astype(np.uint8))
    return Layer.open(labels)


def _doubt_hidden_ground(around: BuildingWater, site: Site, source: str, folder: Path) -> BuildingWater:
    """Return the buildings of a flood map by the ground near the flood that POST shows, as `flood` counts them; unchanged if POST is no fine colour image."""
    if not _shows_water(site, "post"):
        return around
    dates, reach_m, workers = _dates(site, surfaces_alone=True), site.position.reach_m, site.settings.workers
    pixel_m = _pixel_m(dates.grid, site.post)
    flood = _given_water(source, dates.grid, folder / "water_given.tif")
    visible = write_seen_water(flood, dates.layers["post"], pixel_m, folder / SEEN)
    return around.doubted_by(water_around(visible, site.outlines, reach_m=reach_m, pixel_m=pixel_m, workers=workers))
