"""The choice of buildings of a damage map for a person to look at: a random sample of strata (probability, size), in random order."""

from __future__ import annotations

from dataclasses import dataclass

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats, Indices
from deepnets4eo.damage.table.buildings import Buildings
from deepnets4eo.damage.table.vocabulary import LOOKS
from deepnets4eo.errors import InputError
from deepnets4eo.footprints import outline_areas_m2
from deepnets4eo.metrics import allocate_looks

EDGES = (0.1, 0.35, 0.65, 0.9)  # between the steps of probability
MIN_LOOKS = 4  # looks at each stratum, or at all of its buildings
# Of the looks, at the likeliest buildings: a map that expects 24 damaged buildings for 11 teaches little by looks elsewhere. Looked at: Kahramanmaras 4, Adiyaman 6 and 2 NE, the xBD hurricane scene (better
# or equal) and Midwest (worse: AUC of the map 0.77). A group twice as large as the expected damage, drawn at random, was worse.
LIKELIEST_SHARE = 0.5
DOUBT = 0.8  # how far the map's probability decides where looks go; the rest is as where nothing is known


@dataclass(frozen=True)
class Sample:
    """A drawn sample of N buildings.

    Attributes
    ----------
    rows : (n,) int, of the map's table, in the order of looking
    stratum : (N,) int, of every building of the map
    prob : (N,) float, probability of major damage or worse; for buildings that were not assessed, the mean of the others
    area_m2 : (N,) float, built area; 1 if unknown
    likeliest : number of looks at the most probable buildings, which form a separate stratum and are all looked at
    """

    rows: Indices
    stratum: Indices
    prob: Floats
    area_m2: Floats
    likeliest: int


def draw_sample(buildings: gpd.GeoDataFrame, looks: int = LOOKS, seed: int = 0, likeliest: int | None = None) -> Sample:
    """Draw buildings of a damage map.

    Parameters
    ----------
    buildings : the map's table, with the columns `status` and `damage_prob`
    looks : how many buildings are drawn, at most all
    seed : of the draw
    likeliest : how many of the looks are at the likeliest buildings, one at each; by default half of the looks, since a plain random
        sample (0) shows hardly any rare damage, and then teaches little

    Returns
    -------
    Sample
        Any first part of it is a sample, too.

    Raises
    ------
    InputError
        There is no building, or fewer than one look.

    Examples
    --------
    >>> import shapely
    >>> shapes = shapely.box(np.arange(50) * 20.0, 0, np.arange(50) * 20.0 + 10, 10)
    >>> table = {"status": "assessed", "damage_prob": np.linspace(0, 1, 50)}
    >>> len(draw_sample(gpd.GeoDataFrame(table, geometry=shapes, crs="EPSG:32633"), looks=20).rows)
    20
    """
    if looks < 1 or not len(buildings):
        raise InputError(
            f"{looks} of {len(buildings)} buildings cannot be drawn. Give a map with buildings, and one look at least."
        )
    assessed = Buildings(buildings).assessed
    prob = buildings["damage_prob"].to_numpy(float)
    prob = np.where(assessed & np.isfinite(prob), prob, prob[assessed].mean() if assessed.any() else 0.5)
    area_m2 = outline_areas_m2(buildings)
    area_m2 = np.where(np.isfinite(area_m2), area_m2, 1.0)
    step = np.where(assessed, 1 + np.searchsorted(EDGES, prob), 0)
    key = 2 * step + (area_m2 > np.median(area_m2))
    wanted = int(LIKELIEST_SHARE * looks) if likeliest is None else likeliest
    likeliest = min(wanted, int(assessed.sum()))
    key[np.argsort(np.where(assessed, -prob, 1.0), kind="stable")[:likeliest]] = -1
    stratum = np.unique(key, return_inverse=True)[1]
    rng, size, first = np.random.default_rng(seed), np.bincount(stratum), int(likeliest > 0)
    chance = (np.bincount(stratum, prob) / size)[first:]
    numbers = [likeliest] * first + list(_looks_by_stratum(size[first:], chance, looks - likeliest))
    drawn = [rng.permutation(np.flatnonzero(stratum == number))[:count] for number, count in enumerate(numbers)]
    return Sample(rng.permutation(np.concatenate(drawn)), stratum, prob, area_m2, likeliest)


def _looks_by_stratum(size: NDArray[np.integer], prob: Floats, looks: int) -> Indices:
    """Return (H,) looks at each stratum: MIN_LOOKS, the others by its size times the expected spread of damage in it."""
    chance = (1 - DOUBT) / 2 + DOUBT * prob
    return allocate_looks(size, np.sqrt(chance * (1 - chance)), looks, MIN_LOOKS)
