"""Hazards: what can strike a place, each one YAML file of shares, fields and ways to fail; and the modes in which buildings fail.

Takes the name of a file in `hazards/`; refuses names that are not there. Grades follow the crosswalk of damage scales (xBD's joint
scale, EMS-98, Copernicus): 0 none, 1 minor, 2 major, 3 destroyed. Damage to walls (EMS-98 grades 2–3) and storeys that fail below
a whole roof are hardly seen from above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from deepnets4eo.errors import InputError
from world.style import Span, names_in, read_named, to_span

MODE_NAMES = (
    "whole",
    "covering",  # covering gone in patches: boards or underlay show
    "tarped",  # the same, under tarps
    "cracked",  # walls and windows only
    "edges",  # parapets, gables and outer walls fell: ragged edges, heaps below
    "scorched",  # burnt at one side
    "holed",  # a few holes
    "water_near",  # water or mud at a part of the walls
    "opened",  # covering and boards gone on a part: rafters, rooms
    "partial",  # one side collapsed to rubble
    "peeled",  # sheets gone in strips: purlins and the dark inside show
    "leaning",  # the building leans: roof displaced and sloping
    "water_around",  # water or mud all around
    "pancake",  # floors on each other: the roof lies low, mostly whole
    "soft_storey",  # the ground storey gave way below a whole roof
    "rubble",  # a heap
    "rooms",  # walls without a roof
    "slab",  # swept foundation
    "burnt",  # dark shell with standing walls
    "ash",  # pale ash within low walls
    "buried",  # under mud
    "submerged",  # water up to the eaves or over the roof
    "frame",  # steel frame without sheets
)
MODE = {name: code for code, name in enumerate(MODE_NAMES)}
# Grade that can be seen from above at most.
_MAX_VISIBLE = {"cracked": 0, "soft_storey": 1, "leaning": 2}
MAX_VISIBLE = np.array([_MAX_VISIBLE.get(name, 3) for name in MODE_NAMES], np.uint8)
# Modes that leave no roof.
NO_ROOF = np.isin(MODE_NAMES, ("rubble", "rooms", "slab", "burnt", "ash", "frame", "buried"))
# Debris that a mode leaves on the ground around, relative to a heap of rubble.
_DEBRIS = {
    "covering": 0.04, "tarped": 0.03, "edges": 0.2, "holed": 0.06, "opened": 0.3, "partial": 0.45, "peeled": 0.15,
    "leaning": 0.15, "pancake": 0.4, "soft_storey": 0.05, "rubble": 1.0, "rooms": 0.55, "slab": 0.5, "burnt": 0.12,
    "ash": 0.2, "frame": 0.3,
}  # fmt: skip
DEBRIS = np.array([_DEBRIS.get(name, 0.0) for name in MODE_NAMES], np.float32)
# Display colours of pieces by construction: masonry, concrete, wood, tin, earth, steel; three each.
PIECES = np.array(
    [
        [(150, 118, 100, 140), (176, 154, 136, 168), (130, 96, 78, 122)],
        [(158, 153, 146, 158), (176, 171, 162, 175), (128, 124, 118, 128)],
        [(172, 138, 112, 166), (132, 106, 90, 128), (192, 178, 164, 188)],
        [(154, 152, 148, 154), (138, 120, 106, 132), (176, 175, 172, 175)],
        [(158, 138, 114, 150), (140, 120, 98, 134), (124, 106, 88, 120)],
        [(150, 149, 147, 150), (130, 126, 120, 130), (172, 172, 170, 172)],
    ],
    np.float32,
)


@dataclass(frozen=True)
class Hazard:
    """A kind of event.

    Parameters
    ----------
    name : the name of the file
    title : in words
    field : form of its intensity over the place: a key of `intensity.FIELDS`
    reach : width of that form over the smaller side of the place, from and to
    damaged : rows of (weight, from, to): the share of damaged buildings, 0–1, is uniform within one row
    grades : parameters of the Dirichlet distribution of minor, major and destroyed among the damaged
    clustering : 1 where damage follows the intensity, 0 where it is scattered; from and to
    frailty : construction (`plan.CONSTRUCTIONS`) → how soon it fails, about 1
    modes : construction, or "other" → weights of the modes of damage (`hazard.MODE_NAMES`) of minor, major, destroyed
    effects : name of an effect on ground and trees, see `outcome.EFFECTS` → strength 0–1, from and to

    Examples
    --------
    >>> Hazard.load("none").damaged
    ((1.0, 0.0, 0.0),)
    """

    name: str
    title: str
    field: str
    reach: Span
    damaged: tuple[tuple[float, float, float], ...]
    grades: tuple[float, float, float]
    clustering: Span
    frailty: dict[str, float]
    modes: dict[str, tuple[dict[str, float], ...]]
    effects: dict[str, Span]

    @classmethod
    def load(cls, name: str) -> Hazard:
        """Read a hazard, one of `hazard_names()`. Raises InputError where there is no such one."""
        if name not in hazard_names():
            raise InputError(f'hazard "{name}" is unknown, expected one of {", ".join(hazard_names())}.')
        return _load(name)

    def draw_share(self, rng: np.random.Generator) -> float:
        """Draw the share of damaged buildings, 0–1."""
        weights = np.array([row[0] for row in self.damaged])
        _, low, high = self.damaged[int(rng.choice(len(weights), p=weights / weights.sum()))]
        return float(rng.uniform(low, high))


@cache
def hazard_names() -> tuple[str, ...]:
    """Names of all hazards.

    Returns
    -------
    The files in `hazards/` without their ending, sorted; "none" among them.
    """
    return names_in("hazards")


@cache
def _load(name: str) -> Hazard:
    content = read_named("hazards", name)
    minor, major, destroyed = content.get("grades", (1.0, 1.0, 1.0))
    modes = content.get("modes", {})
    return Hazard(
        name=name,
        title=content["title"],
        field=content["field"],
        reach=to_span(content.get("reach", (0.3, 0.6))),
        damaged=tuple((float(weight), float(low), float(high)) for weight, low, high in content["damaged"]),
        grades=(float(minor), float(major), float(destroyed)),
        clustering=to_span(content.get("clustering", (0.5, 0.9))),
        frailty=content.get("frailty", {}),
        modes={key: (row["minor"], row["major"], row["destroyed"]) for key, row in modes.items()},
        effects={key: to_span(span) for key, span in content.get("effects", {}).items()},
    )
