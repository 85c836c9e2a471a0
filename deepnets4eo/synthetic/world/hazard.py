"""Hazards: what can strike a place, each one YAML file of shares, fields and ways to fail.

Takes the name of a file in `hazards/`; refuses names that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.world.style import Span, names_in, read_named, to_span


@dataclass(frozen=True)
class Hazard:
    """A kind of event.

    Parameters
    ----------
    name
        The name of the file.
    title
        In words.
    field
        Form of its intensity over the place: a key of `intensity.FIELDS`.
    reach
        Width of that form over the smaller side of the place, from and to.
    damaged
        Rows of (weight, from, to): the share of damaged buildings, 0–1, is uniform within one row.
    grades
        Parameters of the Dirichlet distribution of minor, major and destroyed among the damaged.
    clustering
        1 where damage follows the intensity, 0 where it is scattered; from and to.
    frailty
        Construction (`plan.CONSTRUCTIONS`) → how soon it fails, about 1.
    modes
        Construction, or "other" → weights of the modes of damage (`damage_modes.NAMES`) of minor, major, destroyed.
    effects
        Name of an effect on ground and trees, see `outcome.EFFECTS` → strength 0–1, from and to.

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
        """Read a hazard.

        Parameters
        ----------
        name
            One of `hazard_names()`.

        Raises
        ------
        InputError
            There is no such hazard.
        """
        if name not in hazard_names():
            raise InputError(f'hazard "{name}" is unknown, expected one of {", ".join(hazard_names())}.')
        return _load(name)

    def draw_share(self, rng: np.random.Generator) -> float:
        """Draw the share of damaged buildings, 0–1.

        Parameters
        ----------
        rng
            Source of the draw.
        """
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
