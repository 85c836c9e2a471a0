"""Random pairs of the miniature world before and after an event, with the truth of every pixel and building.

A plan of both dates and what a hazard did to it: both dates are painted, lit, seen and exposed on their own. One pair from a seed,
or an endless stream of them, which feeds a training without files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import Point, Polygon, box
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from deepnets4eo.errors import InputError
from deepnets4eo.synthetic import Light
from world.paint_world import paint
from world.plan import AFTER, BEFORE, CONE, DOME, Plan
from world.sensor import WorldSensor, expose
from world.style import WorldSeason, WorldStyle, style_names
from world.surface import WorldSurface
from world.view import Frame, Sky, draw_light, see

NO_HAZARD = "none"
NO_HAZARD_SHARE = 0.25  # of the pairs whose hazard is drawn
GSD_M = (0.3, 1.0)
SMALLEST_PX = 64
LOW_M = 12.0  # margins are made for buildings of at least this height
STOREY_M = 3.3
FINEST_M, COARSEST_M = 0.2, 2.0  # sides of pixels that are drawn

if TYPE_CHECKING:
    from world.outcome import Outcome

STEEPEST_LEAN = 0.4  # metres sideways per metre of height


@dataclass(frozen=True)
class PairSample:
    """One pair of images with its truth.

    Parameters
    ----------
    pre, post : (4, H, W) uint8: red, green, blue, near infrared
    labels_pre, labels_post
        (H, W) uint8 in the legend "minicity", as each image shows it: tall things lean, crowns hide what is below.
    roofs_pre, roofs_post
        (H, W) int32, row of the plan's buildings plus 1 where each image shows a roof, also under crowns; no walls.
    outlines : (H, W) int32, row plus 1 of the buildings before the event at their true positions in the frame of `pre`
    height_pre, height_post : (H, W) float32, metres above ground of what each image shows
    solid_pre, solid_post
        (H, W) uint8, code of `materials.NAMES` of the ground or what is built on it, also under crowns, at its true position:
        mud, and water below trees, which the labels do not show.
    grades : (N,) uint8, true grades 0–3 of the plan's buildings
    visible : (N,) uint8, grades as visible from above
    style, hazard : their names
    gsd_m : the pixel size of both images, metres
    seed : the seed of the pair
    post_shift_px : (rows, columns) by which a point on the ground lies further down and to the right in `post`
    plan : the plan of both dates
    margin_px : the margin of the plan around the images, pixels
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
    solid_pre: NDArray[np.uint8]
    solid_post: NDArray[np.uint8]
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
        """Return the outlines of the N buildings in pixels (x, y) of `pre`; empty where one is not there before the
        event or lies outside."""
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
    solid: NDArray[np.uint8]


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
    oblique: bool = False,
) -> PairSample:
    """Paint and see both dates of a plan.

    Parameters
    ----------
    seed : seasons, light, sensors and noise
    plan : the plan of both dates, from `draw_outcome` where a hazard struck
    outcome : what the hazard did; None for no damage
    style : the style of the plan; its climate sets the seasons
    hazard : name to write into the sample
    size_px : side of the images, pixels
    gsd_m : the pixel size of both images, metres
    margin_px : the margin of the plan around the images, pixels; tall things outside lean in and cast shadows
    oblique : both dates are seen from the side, each from its own

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
        dates.append(_take_image(surface, there, light, moved, size_px, rng, oblique))
    pre, post = dates
    count = len(plan.buildings)
    return PairSample(
        pre=pre.image, post=post.image, labels_pre=pre.labels, labels_post=post.labels,
        roofs_pre=pre.roofs, roofs_post=post.roofs, outlines=pre.outlines,
        height_pre=pre.height, height_post=post.height, solid_pre=pre.solid, solid_post=post.solid,
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
    surface: WorldSurface, plan: Plan, light: Light, moved: tuple[float, float], size_px: int, rng: np.random.Generator,
    oblique: bool,
) -> _Date:  # fmt: skip
    """Image of one date from the middle of its surface; `moved` : pixels to the bottom and to the right."""
    margin = (surface.shape[0] - size_px) // 2
    whole = round(moved[0]), round(moved[1])
    frame = Frame((size_px, size_px), (margin - whole[0], margin - whole[1]), _draw_lean(rng, oblique))
    sight = see(surface, plan, light, frame, Sky.draw(rng, frame.shape))
    image = expose(sight.radiance, WorldSensor.draw(rng), rng, shift_px=(moved[0] - whole[0], moved[1] - whole[1]))
    inner = slice(margin, margin + size_px)
    seen = tuple(slice(start, start + size_px) for start in frame.origin)
    outlines, solid = surface.building[inner, inner].copy(), surface.material[seen].copy()
    return _Date(image, sight.labels, sight.roofs, sight.height, outlines, solid)


def _draw_shift(rng: np.random.Generator) -> tuple[float, float]:
    """What is left of a misregistration: 0–2.5 pixels, mostly below one."""
    length, heading = 2.5 * rng.beta(1.0, 2.5), rng.uniform(0, 2 * np.pi)
    return float(length * np.sin(heading)), float(length * np.cos(heading))


def _draw_lean(rng: np.random.Generator, oblique: bool) -> tuple[float, float]:
    """Direction of view: mostly below 0.25, to 0.4; oblique ones from 0.2."""
    length = STEEPEST_LEAN * (rng.uniform(0.5, 1.0) if oblique else rng.beta(1.2, 2.0))
    heading = rng.uniform(0, 2 * np.pi)
    return float(length * np.cos(heading)), float(length * np.sin(heading))


def draw_pair(
    seed: int,
    *,
    style: str | None = None,
    hazard: str | None = None,
    size_px: int = 512,
    gsd_m: float | None = None,
    colours_of: Sequence[str] | None = None,
    oblique: bool = False,
) -> PairSample:
    """Draw a place, what happens to it, and both images.

    Parameters
    ----------
    seed : the seed of everything
    style : one of `style_names()`; drawn where None
    hazard : one of `hazard_names()`, "none" for harmless changes alone; drawn where None
    size_px : side of the images, pixels
    gsd_m : side of a pixel, metres, 0.2 to 2; 0.3–1 drawn where None
    colours_of
        Names of styles of which one lends the surfaces and colours of its roofs and one its ground; the style's own where
        None.
    oblique : both dates are seen from the side, each from its own

    Returns
    -------
    PairSample

    Raises
    ------
    InputError
        There is no such style or hazard, a seed below 0, an image that is too small, or pixels of another size.
    """
    from world.harmless import change
    from world.hazard import Hazard, hazard_names
    from world.layouts import lay_out
    from world.outcome import draw_outcome
    from world.vegetation import plant

    _check_drawn(seed, size_px, gsd_m)
    rng = np.random.default_rng([seed, 41])
    drawn_style, drawn_gsd_m = str(rng.choice(style_names())), float(np.round(np.exp(rng.uniform(*np.log(GSD_M))), 2))
    drawn_hazard = NO_HAZARD
    if rng.random() >= NO_HAZARD_SHARE:
        drawn_hazard = str(rng.choice([name for name in hazard_names() if name != NO_HAZARD]))
    kind = WorldStyle.load(style or drawn_style)
    if colours_of is not None:
        _check_names("colours_of", colours_of)
        colour_rng = np.random.default_rng([seed, 47])  # its own, so that the rest of the place stays as it is
        roofs, ground = (WorldStyle.load(str(name)) for name in colour_rng.choice(list(colours_of), 2))
        kind = kind.in_colours_of(roofs, ground, colour_rng)
    gsd_m, hazard = gsd_m or drawn_gsd_m, hazard or drawn_hazard
    margin = _margin_px(kind, gsd_m)
    side_m = (size_px + 2 * margin) * gsd_m
    plan = plant(lay_out(kind, (side_m, side_m), rng), kind, rng)
    plan = change(plan, rng)
    outcome: Any = None
    if hazard != NO_HAZARD:
        plan, outcome = draw_outcome(plan, Hazard.load(hazard), rng)
    return render_pair(
        seed, plan, outcome, style=kind, hazard=hazard, size_px=size_px, gsd_m=gsd_m, margin_px=margin, oblique=oblique
    )


def pair_stream(
    seed: int,
    *,
    styles: Sequence[str] | None = None,
    hazards: Sequence[str] | None = None,
    size_px: int = 512,
    mixed_share: float = 0.0,
) -> Iterator[PairSample]:
    """Return random pairs without end; the same seed gives the same pairs.

    Parameters
    ----------
    seed : the seed of the stream; streams of different seeds have no pair in common
    styles : names to draw from; all where None
    hazards : names to draw from; all, and "none" in a quarter of the pairs, where None
    size_px : side of the images, pixels
    mixed_share
        The share of the pairs whose roofs and ground have the colours of other styles than the one of their plan,
        0–1.

    Yields
    ------
    PairSample

    Raises
    ------
    InputError
        As `draw_pair`, and for an empty list of names.
    """
    _check_drawn(seed, size_px, None)
    for name, names in {"styles": styles, "hazards": hazards}.items():
        if names is not None:
            _check_names(name, names)
    rng = np.random.default_rng([seed, 43])
    while True:
        style = None if styles is None else str(rng.choice(list(styles)))
        hazard = None if hazards is None else str(rng.choice(list(hazards)))
        pair_seed = int(rng.integers(1 << 48))
        mixed = np.random.default_rng([pair_seed, 53]).random() < mixed_share
        colours_of = (styles or style_names()) if mixed else None
        yield draw_pair(pair_seed, style=style, hazard=hazard, size_px=size_px, colours_of=colours_of)


def _check_drawn(seed: int, size_px: int, gsd_m: float | None) -> None:
    if int(seed) != seed or seed < 0:
        raise InputError(f"seed is {seed}, expected a whole number of 0 or more.")
    if int(size_px) != size_px or size_px < SMALLEST_PX:
        raise InputError(f"size_px is {size_px}, expected a whole number of at least {SMALLEST_PX} pixels.")
    if gsd_m is not None and not FINEST_M <= gsd_m <= COARSEST_M:
        raise InputError(f"gsd_m is {gsd_m}, expected {FINEST_M} to {COARSEST_M} metres a pixel.")


def _check_names(name: str, names: Sequence[str]) -> None:
    if not len(names):
        raise InputError(f"{name} is empty. Name one or more, or leave it out for all.")


def _margin_px(style: WorldStyle, gsd_m: float) -> int:
    """Pixels around an image from which things lean in or cast shadows."""
    storeys = style.numbers.get("storeys", 2)
    highest_m = max(STOREY_M * float(np.max(storeys)), LOW_M)
    return int(np.clip(np.ceil(STEEPEST_LEAN * highest_m / gsd_m) + 6, 16, 64))
