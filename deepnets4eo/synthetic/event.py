"""The event between the two dates, and what it did to every object: damage grades, harmless changes, fallen trees.

What an `Event` leaves open is drawn from the seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deepnets4eo.damage import GRADES
from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.plan import Building, BuildingPart, CityPlan, Row
from deepnets4eo.synthetic.style import Light, Season, Sensor, roof_colour

FRAILTY = {"house": 1.0, "shed": 1.2, "block": 0.8, "hall": 0.95, "tank": 0.7}
CHANGES = ("reroofed", "extended", "panels")


@dataclass(frozen=True)
class EventType:
    """Effects of a type of event at full intensity: debris, its drift, new ground, shares of trees and thrown cars, width."""

    debris_per_m2: float
    drift_m: float
    churn: str
    felled: float
    stripped: float
    thrown: float
    spread: tuple[float, float]


EVENT_TYPES = {
    "tornado": EventType(0.45, 4.0, "mud", 0.95, 0.95, 0.6, (0.12, 0.24)),
    "quake": EventType(0.01, 0.0, "", 0.02, 0.0, 0.0, (0.12, 0.22)),
    "fire": EventType(0.01, 0.5, "scorch", 0.05, 0.8, 0.0, (0.16, 0.35)),
    "hurricane": EventType(0.08, 3.0, "", 0.45, 0.7, 0.05, (0.35, 0.7)),
}


@dataclass(frozen=True)
class Event:
    """Difference between the post image of a city and the pre image.

    Errors: InputError (`kind` is unknown, or `damage_shares` are not four shares, none negative and not all zero).

    Parameters
    ----------
    shift_px : (rows, columns) by which the content of the post image is displaced, in pre pixels
    rotation_deg : rotation of the content about the image centre, degrees, clockwise as seen
    scale : magnification of the content
    gsd_m : ground size of a post pixel in metres; None for the ground size of a pre pixel
    damage_shares : shares of buildings by grade, in the order of `GRADES`; scaled to sum to one
    clustering : 0 to 1: at 0 damage is random, at 1 it follows the path of the event
    kind
        "tornado" (a track across the city, debris everywhere), "quake" (clusters of collapsed buildings), "fire" (ash and
        burnt lawns) or "hurricane" (wide and scattered, trees down)
    burnt_share, swept_share : of the destroyed buildings that burnt down, or left only the slab (not in fires)
    lookalike_share : of undamaged buildings with harmless changes; new sheds, pools and earthworks are as frequent
    season, light, sensor : of the post image; None draws one from the seed
    cloud_shadows : number of soft cloud shadows over the post image

    Examples
    --------
    >>> Event(kind="quake", damage_shares=(0.4, 0.2, 0.2, 0.2)).shift_px
    (3.2, -5.1)
    """

    shift_px: tuple[float, float] = (3.2, -5.1)
    rotation_deg: float = 0.2
    scale: float = 1.0
    gsd_m: float | None = None
    damage_shares: tuple[float, float, float, float] = (0.55, 0.15, 0.1, 0.2)
    clustering: float = 0.8
    kind: str = "tornado"
    burnt_share: float = 0.06
    swept_share: float = 0.15
    lookalike_share: float = 0.08
    season: Season | None = None
    light: Light | None = None
    sensor: Sensor | None = None
    cloud_shadows: int = 1

    def __post_init__(self) -> None:
        if self.kind not in EVENT_TYPES:
            raise InputError(f'event kind "{self.kind}" is unknown, expected one of {", ".join(EVENT_TYPES)}.')
        if len(self.damage_shares) != len(GRADES) or min(self.damage_shares) < 0 or sum(self.damage_shares) <= 0:
            raise InputError(
                f"damage_shares is {self.damage_shares}, expected four shares, none negative, not all zero."
            )

    @property
    def event_type(self) -> EventType:
        """Effects of this kind of event."""
        return EVENT_TYPES[self.kind]

    @classmethod
    def draw(cls, seed: int) -> Event:
        """Draw an event from a seed: misregistration up to 10 px, kind and shares."""
        rng = np.random.default_rng([seed, 77])
        hit = rng.uniform(0.25, 0.6)
        grades = rng.dirichlet((2.0, 1.5, 3.5)) * hit
        return cls(
            shift_px=(float(rng.uniform(-9, 9)), float(rng.uniform(-9, 9))),
            rotation_deg=float(rng.normal(0, 0.15)),
            scale=float(1 + rng.normal(0, 0.0008)),
            damage_shares=(float(1 - hit), float(grades[0]), float(grades[1]), float(grades[2])),
            clustering=float(rng.uniform(0.5, 0.95)),
            kind=str(rng.choice(tuple(EVENT_TYPES), p=(0.5, 0.2, 0.12, 0.18))),
            burnt_share=float(rng.uniform(0, 0.2)),
            swept_share=float(rng.uniform(0.05, 0.3)),
            lookalike_share=float(rng.uniform(0.03, 0.15)),
            cloud_shadows=int(rng.integers(0, 3)),
        )

    def draw_unset(self, rng: np.random.Generator) -> Event:
        """Return the event with random season, light and sensor in place of None."""
        season = Season.of_day(float(rng.uniform(1, 366)))
        light, sensor = Light.draw(rng), Sensor.draw(rng)
        return replace(self, season=self.season or season, light=self.light or light, sensor=self.sensor or sensor)


@dataclass(frozen=True)
class Intensity:
    """Strength of the event, 0–1, at positions in local metres."""

    kind: str
    centres: np.ndarray  # (K, 2): points of the track, or cluster centres
    width_m: float
    heading: float

    @classmethod
    def draw(cls, rng: np.random.Generator, kind: str, extent_m: tuple[float, float]) -> Intensity:
        """Draw a bent track through the middle of the city, or three clusters."""
        width, height = extent_m
        size = min(extent_m)
        reach = size * rng.uniform(*EVENT_TYPES[kind].spread)
        if kind != "tornado":
            centres = rng.uniform(0.1, 0.9, (3, 2)) * (width, height)
            return cls(kind, centres, reach, float(rng.uniform(-np.pi, np.pi)))
        heading = float(rng.uniform(-np.pi, np.pi))
        along = np.linspace(-1.2, 1.2, 60) * float(np.hypot(width, height)) / 2
        bend = size * 0.08 * np.sin(along / size * 3 + rng.uniform(0, 6))
        cos, sin = np.cos(heading), np.sin(heading)
        middle = np.array([width, height]) * rng.uniform(0.38, 0.62, 2)
        centres = middle + np.stack([along * cos - bend * sin, along * sin + bend * cos], axis=1)
        return cls(kind, centres, reach, heading)

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Intensity at positions (any shape)."""
        from scipy.spatial import cKDTree

        positions = np.stack([np.ravel(x), np.ravel(y)], axis=1)
        distance = cKDTree(self.centres).query(positions)[0]
        return np.exp(-((distance / self.width_m) ** 2)).reshape(np.shape(x))


def grade_buildings(
    rng: np.random.Generator, event: Event, intensity: Intensity, positions: np.ndarray, frail: np.ndarray
) -> np.ndarray:
    """Draw the grade (N,) uint8 of buildings at `positions` (N, 2) of frailty `frail` (N,) by the shares of the event."""
    count = len(positions)
    if not count:
        return np.zeros(0, np.uint8)
    shares = np.asarray(event.damage_shares, float)
    local = intensity.at(positions[:, 0], positions[:, 1]) * frail
    ranked = np.argsort(np.argsort(local)) / max(count - 1, 1)
    score = event.clustering * ranked + (1 - event.clustering) * rng.random(count) + rng.normal(0, 0.06, count)
    order = np.argsort(np.argsort(score)) / count
    bounds = np.cumsum(shares / shares.sum())[:3]
    return np.searchsorted(bounds, order, side="right").astype(np.uint8)


@dataclass
class EventOutcome:
    """Grades (N,) and looks of buildings, what only the post date has, fallen and stripped trees."""

    event: Event
    intensity: Intensity
    grades: np.ndarray
    modes: list[str]
    changes: list[str]
    added: list[Building]
    ponds: list[tuple[float, float, float, float, float, str]]
    works: list[Row]
    fallen: np.ndarray
    stripped: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, event: Event, plan: CityPlan) -> EventOutcome:
        """Draw the outcome for a plan."""
        intensity = Intensity.draw(rng, event.kind, plan.extent_m)
        positions = np.array([(b.x, b.y) for b in plan.buildings]).reshape(-1, 2)
        frail = np.array([FRAILTY[b.use] for b in plan.buildings]) * rng.lognormal(0, 0.12, len(positions))
        grades = grade_buildings(rng, event, intensity, positions, frail)
        modes = [_mode(rng, event) if grade == 3 else "" for grade in grades]
        lookalike = (grades == 0) & (rng.random(len(grades)) < event.lookalike_share)
        changes = [str(rng.choice(CHANGES)) if flag else "" for flag in lookalike]
        trees = np.array([(x, y) for x, y, *_ in plan.trees]).reshape(-1, 2)
        force = intensity.at(trees[:, 0], trees[:, 1]) if len(trees) else np.zeros(0)
        event_type = event.event_type
        fallen = rng.random(len(trees)) < np.clip((force - 0.3) * 1.5, 0, 1) * event_type.felled
        stripped = ~fallen & (rng.random(len(trees)) < np.clip((force - 0.2) * 1.6, 0, 1) * event_type.stripped)
        added, ponds = _new_sheds_and_pools(rng, event, plan)
        works = _earthworks(rng, event, plan)
        return cls(event, intensity, grades, modes, changes, added, ponds, works, fallen, stripped)


def _mode(rng: np.random.Generator, event: Event) -> str:
    """Look of one destroyed building."""
    if event.kind == "fire":
        return "ash" if rng.random() < 0.8 else "burnt"
    if rng.random() < event.burnt_share:
        return "burnt"
    if rng.random() < event.swept_share:
        return "swept"
    return "rooms" if event.kind != "quake" and rng.random() < 0.4 else "rubble"


def apply_harmless_change(building: Building, change: str) -> Building:
    """Return the building after a harmless change: another roof or an extension; solar panels are painted."""
    rng = np.random.default_rng([building.key, 9])
    if change == "reroofed":
        covering = "membrane" if building.roof == "flat" else "shingle"
        return replace(building, colour=roof_colour(rng, covering), covering=covering)
    if change == "extended":
        main = building.parts[0]
        side = float(rng.choice((-1.0, 1.0)))
        wing = BuildingPart(
            main.a + side * main.length * 0.2, main.b - side * main.width * 0.5, main.length * 0.35, main.width * 0.7
        )
        return replace(building, parts=(*building.parts, wing)) if building.roof != "dome" else building
    return building


def _new_sheds_and_pools(
    rng: np.random.Generator, event: Event, plan: CityPlan
) -> tuple[list[Building], list[tuple[float, float, float, float, float, str]]]:
    """Draw new sheds and pools in gardens, for the lookalike share of houses."""
    added: list[Building] = []
    ponds: list[tuple[float, float, float, float, float, str]] = []
    for building in plan.buildings:
        if building.use != "house" or rng.random() > event.lookalike_share:
            continue
        away = building.radius_m + rng.uniform(4, 7)
        x, y = building.x + away * np.cos(building.angle), building.y + away * np.sin(building.angle)
        if rng.random() < 0.5:
            ponds.append((x, y, rng.uniform(2, 5), rng.uniform(1.8, 3), building.angle, "pool"))
            continue
        part = (BuildingPart(0.0, 0.0, float(rng.uniform(3, 7)), float(rng.uniform(2.5, 4.5))),)
        shed = replace(building, x=float(x), y=float(y), parts=part, roof="gable", eave_m=2.3, use="shed")
        added.append(replace(shed, colour=roof_colour(rng, "metal"), covering="metal"))
    return added, ponds


def _earthworks(rng: np.random.Generator, event: Event, plan: CityPlan) -> list[Row]:
    """Ground broken for building, off the houses: change that is no damage."""
    width, height = plan.extent_m
    count = int(rng.poisson(event.lookalike_share * width * height / 1.5e4))
    positions = np.array([(building.x, building.y) for building in plan.buildings]).reshape(-1, 2)
    rows: list[Row] = []
    for _ in range(count):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(12, 34)
        if not len(positions) or np.hypot(*(positions - (x, y)).T).min() > size / 2 + 12:
            rows.append((x, y, size, size * rng.uniform(0.5, 1.0), rng.uniform(0, np.pi)))
    return rows
