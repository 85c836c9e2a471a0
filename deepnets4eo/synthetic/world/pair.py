"""A pair of images of a made-up place before and after an event, with the truth of every pixel and building.

Takes a plan of both dates and what a hazard did to it; both dates are painted, lit, seen and exposed on their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from deepnets4eo.synthetic.style import Light
from deepnets4eo.synthetic.world.light import draw_light
from deepnets4eo.synthetic.world.paint_world import paint
from deepnets4eo.synthetic.world.plan import AFTER, BEFORE, CONE, DOME, Plan
from deepnets4eo.synthetic.world.season import WorldSeason
from deepnets4eo.synthetic.world.sensor import WorldSensor, expose
from deepnets4eo.synthetic.world.style import WorldStyle
from deepnets4eo.synthetic.world.surface import WorldSurface
from deepnets4eo.synthetic.world.view import Frame, Sky, see

if TYPE_CHECKING:
    from deepnets4eo.synthetic.world.outcome import Outcome

STEEPEST_LEAN = 0.4  # metres sideways per metre of height


@dataclass(frozen=True)
class PairSample:
    """One pair of images with its truth.

    Parameters
    ----------
    pre, post
        (4, H, W) uint8: red, green, blue, near infrared.
    labels_pre, labels_post
        (H, W) uint8 in the legend "minicity", as each image shows it: tall things lean, crowns hide what is below.
    roofs_pre, roofs_post
        (H, W) int32, row of the plan's buildings plus 1 where each image shows a roof, also under crowns; no walls.
    outlines
        (H, W) int32, row plus 1 of the buildings before the event at their true positions in the frame of `pre`.
    height_pre, height_post
        (H, W) float32, metres above ground of what each image shows.
    grades
        (N,) uint8, true grades 0–3 of the plan's buildings.
    visible
        (N,) uint8, grades as visible from above.
    style, hazard
        Their names.
    gsd_m
        The pixel size of both images, metres.
    seed
        The seed of the pair.
    post_shift_px
        (rows, columns) by which a point on the ground lies further down and to the right in `post`.
    plan
        The plan of both dates.
    margin_px
        The margin of the plan around the images, pixels.
    """

    pre: NDArray[np.uint8]
    post: NDArray[np.uint8]
    labels_pre: NDArray[np.uint8]
    labels_post: NDArray[np.uint8]
    roofs_pre: NDArray[np.int32]
    roofs_post: NDArray[np.int32]
    outlines: NDArray[np.int32]
    height_pre: NDArray[np.float32]
    height_post: NDArray[np.float32]
    grades: NDArray[np.uint8]
    visible: NDArray[np.uint8]
    style: str
    hazard: str
    gsd_m: float
    seed: int
    post_shift_px: tuple[float, float]
    plan: Plan
    margin_px: int

    def polygons(self) -> list[BaseGeometry]:
        """Return the outlines of the N buildings in pixels (x, y) of `pre`.

        Returns
        -------
        One shape a building; empty where it is not there before the event or lies outside the image.
        """
        return building_shapes(self.plan, self.gsd_m, self.margin_px, self.pre.shape[1:])


def building_shapes(plan: Plan, gsd_m: float, margin_px: int, shape: tuple[int, ...]) -> list[BaseGeometry]:
    """Return the outlines before the event, one shape a row of `plan.buildings`, in pixels (x, y) of the image and cut
    at its border; empty where nothing is in it."""
    parts: list[list[BaseGeometry]] = [[] for _ in plan.buildings]
    for roof in plan.roofs[(plan.roofs["when"] & BEFORE > 0) & (plan.roofs["building"] >= 0)]:
        if roof["kind"] in (CONE, DOME):
            unit: BaseGeometry = affinity.scale(Point(0, 0).buffer(0.5, 16), roof["length"], roof["width"])
        else:
            unit = box(-roof["length"] / 2, -roof["width"] / 2, roof["length"] / 2, roof["width"] / 2)
        cos, sin = np.cos(roof["angle"]), np.sin(roof["angle"])
        matrix = np.array([cos, -sin, sin, cos, roof["x"], roof["y"]], float) / gsd_m
        matrix[4:] -= margin_px
        parts[roof["building"]].append(affinity.affine_transform(unit, matrix))
    frame = box(0, 0, shape[1], shape[0])
    return [unary_union(shapes).intersection(frame) if shapes else Polygon() for shapes in parts]


@dataclass(frozen=True)
class _Date:
    """What one date looks like; its surface and radiance are given back before the next date is painted."""

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    roofs: NDArray[np.int32]
    height: NDArray[np.float32]
    outlines: NDArray[np.int32]


def render_pair(
    seed: int,
    plan: Plan,
    outcome: Outcome | None = None,
    *,
    style: WorldStyle,
    hazard: str = "none",
    size_px: int = 512,
    gsd_m: float = 0.5,
    margin_px: int = 0,
) -> PairSample:
    """Paint and see both dates of a plan.

    Parameters
    ----------
    seed
        Seasons, light, sensors and noise.
    plan
        The plan of both dates, from `draw_outcome` where a hazard struck.
    outcome
        What the hazard did; None for no damage.
    style
        The style of the plan; its climate sets the seasons.
    hazard
        Name to write into the sample.
    size_px
        Side of the images, pixels.
    gsd_m
        The pixel size of both images, metres.
    margin_px
        The margin of the plan around the images, pixels; tall things outside lean in and cast shadows.

    Returns
    -------
    PairSample
    """
    rng = _image_rng(seed)
    seasons = _draw_seasons(rng, style.climate)
    lights = draw_light(rng), draw_light(rng)
    shift = _draw_shift(rng)
    dates = []
    for date, season, light, moved in zip((BEFORE, AFTER), seasons, lights, ((0.0, 0.0), shift), strict=True):
        struck = outcome if date == AFTER else None
        there = plan.at(date)
        surface = paint(there, gsd_m, (size_px + 2 * margin_px,) * 2, season, struck, seed=seed)
        dates.append(_take_image(surface, there, light, moved, size_px, rng))
    pre, post = dates
    count = len(plan.buildings)
    return PairSample(
        pre=pre.image, post=post.image, labels_pre=pre.labels, labels_post=post.labels,
        roofs_pre=pre.roofs, roofs_post=post.roofs, outlines=pre.outlines,
        height_pre=pre.height, height_post=post.height,
        grades=np.zeros(count, np.uint8) if outcome is None else outcome.grades,
        visible=np.zeros(count, np.uint8) if outcome is None else outcome.visible,
        style=style.name, hazard=hazard, gsd_m=gsd_m, seed=seed, post_shift_px=shift, plan=plan, margin_px=margin_px,
    )  # fmt: skip


def seasons_of(seed: int, climate: str) -> tuple[WorldSeason, WorldSeason]:
    """Return the seasons of both dates of the pair of a seed, without drawing it; `climate` is that of the style."""
    return _draw_seasons(_image_rng(seed), climate)


def _image_rng(seed: int) -> np.random.Generator:
    """Source of all draws that concern the images of a place."""
    return np.random.default_rng([seed, 51])


def _draw_seasons(rng: np.random.Generator, climate: str) -> tuple[WorldSeason, WorldSeason]:
    """Seasons of both dates: half of the pairs are taken within six weeks, the others at any time of the year."""
    day = float(rng.uniform(1, 366))
    later = day + rng.uniform(0, 42) if rng.random() < 0.5 else rng.uniform(1, 366)
    return WorldSeason.draw(rng, climate, day), WorldSeason.draw(rng, climate, (later - 1) % 365 + 1)


def _take_image(
    surface: WorldSurface, plan: Plan, light: Light, moved: tuple[float, float], size_px: int, rng: np.random.Generator
) -> _Date:
    """Image of one date from the middle of its surface; `moved` : pixels to the bottom and to the right."""
    margin = (surface.shape[0] - size_px) // 2
    whole = round(moved[0]), round(moved[1])
    frame = Frame((size_px, size_px), (margin - whole[0], margin - whole[1]), _draw_lean(rng))
    sight = see(surface, plan, light, frame, Sky.draw(rng, frame.shape))
    image = expose(sight.radiance, WorldSensor.draw(rng), rng, shift_px=(moved[0] - whole[0], moved[1] - whole[1]))
    inner = slice(margin, margin + size_px)
    return _Date(image, sight.labels, sight.roofs, sight.height, surface.building[inner, inner].copy())


def _draw_shift(rng: np.random.Generator) -> tuple[float, float]:
    """What is left of a misregistration: 0–2.5 pixels, mostly below one."""
    length, heading = 2.5 * rng.beta(1.0, 2.5), rng.uniform(0, 2 * np.pi)
    return float(length * np.sin(heading)), float(length * np.cos(heading))


def _draw_lean(rng: np.random.Generator) -> tuple[float, float]:
    """Direction of view: mostly below 0.25, to 0.4."""
    length, heading = STEEPEST_LEAN * rng.beta(1.2, 2.0), rng.uniform(0, 2 * np.pi)
    return float(length * np.cos(heading)), float(length * np.sin(heading))
