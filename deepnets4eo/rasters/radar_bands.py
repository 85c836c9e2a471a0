"""Polarisation and quantity of radar bands, from the names, units and tags that SNAP, GDAL and others write."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

from deepnets4eo.errors import InputError

RadarUnit: TypeAlias = Literal["decibel", "power", "amplitude"]

POLARISATIONS = ("vv", "vh", "hh", "hv")
POLARISATION_TAGS = ("polarisations", "polarizations", "polarisation", "polarization", "sar:polarizations")  # of a file
ORBIT_TAGS = ("orbit", "pass", "orbit_pass", "orbit_direction", "orbitproperties_pass", "sat:orbit_state")
TRACK_TAGS = (  # the relative orbit, as STAC, Google Earth Engine, SNAP and others name it
    "sat:relative_orbit", "relative_orbit", "relativeorbitnumber_start", "relativeorbitnumber", "relative_orbit_number", "rel_orbit", "track_number",
)  # fmt: skip
# Of Sentinel-1: the absolute orbit in the name of a product, whose relative orbit is (absolute - first) mod 175 + 1; and OPERA's tracks
PRODUCT = re.compile(r"S1([ABC])_(?:IW|EW|SM|WV)_\w{8,11}_\d{8}T\d{6}_\d{8}T\d{6}_(\d{6})(?!\d)", re.IGNORECASE)
FIRST_ORBITS, ORBITS_IN_CYCLE = {"A": 73, "B": 27, "C": 172}, 175
OPERA = re.compile(r"RTC-S1_T(\d{3})-\d{6}-", re.IGNORECASE)
WORDS = re.compile(r"dB(?![a-z])|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
DERIVED = {"ratio", "difference", "diff", "sum", "span", "phase", "coherence", "coh", "rvi", "index", "std", "texture"}
# the first that is stated counts: decibels of an amplitude are those of its power
UNIT_WORDS: tuple[tuple[RadarUnit, frozenset[str]], ...] = (
    ("decibel", frozenset({"db", "decibel", "decibels"})),
    ("amplitude", frozenset({"amplitude", "amplitudes", "amp", "magnitude", "sqrt"})),
    ("power", frozenset({"linear", "power", "intensity", "natural"})),
)
UNIT_TAGS = ("unit", "units", "unittype", "unit_type", "scale")  # of a file; "scale" of HyP3
RADAR_WORDS = frozenset({"gamma", "sigma", "beta", "backscatter", "sar", "radar", "nrcs", "rtc", "grd"}).union(
    *(words for _, words in UNIT_WORDS)
)
QUANTITIES = (("gamma", "sigma", "beta"), ("intensity", "power"), ("amplitude",))  # in names of bands, the best first


def is_polarisation(word: str) -> bool:
    """Return whether a word in lower case names a polarisation."""
    return word in POLARISATIONS


def words_of(name: str) -> list[str]:
    """Split the name of a band into words in lower case.

    >>> words_of("Sigma0_VV_db"), words_of("incidenceAngleFromEllipsoid")
    (['sigma', '0', 'vv', 'db'], ['incidence', 'angle', 'from', 'ellipsoid'])
    """
    return [word.casefold() for word in WORDS.findall(name)]


def polarisations(names: Sequence[str], tags: Mapping[str, str], source: str) -> dict[str, int]:
    """Return polarisation → index of its band, by names of bands, else by tags of the file; ratios and phases do not count.

    If several bands show one polarisation, the band with the best quantity counts. Errors: InputError if no band is the best.

    >>> polarisations(["Sigma0_VV", "Sigma0_VH", "Sigma0_VH/Sigma0_VV", "localIncidenceAngle"], {}, "s1.tif")
    {'VV': 0, 'VH': 1}
    """
    groups: dict[str, dict[str, int]] = {}
    for index, words in enumerate(_words_of_bands(names, tags)):
        its = [word for word in words if word in POLARISATIONS]
        if len(its) == 1 and not DERIVED & {*words}:
            stem = " ".join(word for word in words if word not in POLARISATIONS)
            groups.setdefault(stem, {}).setdefault(its[0].upper(), index)
    ranks = {stem: _rank(stem) for stem in groups}
    best = [stem for stem in groups if ranks[stem] == min(ranks.values())]
    known = {name: index for stem in best for name, index in groups[stem].items()}
    if len(known) < sum(map(len, (groups[stem] for stem in best))):
        raise InputError(
            f"{source} has several bands of one polarisation: {', '.join(name[:30] for name in names[:8])}; one date has each once. Give the "
            "bands of one date and one quantity, e.g. by gdal_translate -b."
        )
    return {name: known[name] for name in map(str.upper, POLARISATIONS) if name in known}


def _words_of_bands(names: Sequence[str], tags: Mapping[str, str]) -> list[list[str]]:
    """Return the words in the name of each band; for bands without names, the polarisations in the order that a tag of the file lists."""
    words = [words_of(name) for name in names]
    lower = {name.casefold(): value for name, value in tags.items()}
    listed = next((lower[tag].casefold() for tag in POLARISATION_TAGS if tag in lower), "")
    stated = [word for word in re.findall(r"[a-z]+", listed) if word in POLARISATIONS]
    if len(stated) > len(names) or not all(name.startswith("band_") for name in names):
        return words
    return [[word] for word in stated] + words[len(stated) :]


def _rank(stem: str) -> tuple[int, bool]:
    """Place of a quantity, by the words in the names of its bands: calibrated ones first, those in decibels behind the others."""
    words = {*stem.split()}
    return next((rank for rank, quantity in enumerate(QUANTITIES) if words & {*quantity}), 1), "db" in words


def stated_unit(names: Iterable[str], units: Iterable[str], tags: Mapping[str, str]) -> RadarUnit | None:
    """Return the unit of radar values by words in the band names, else in the units of the bands, else in tags; None if unstated.

    >>> stated_unit(["Amplitude_VV"], [""], {}), stated_unit(["Sigma0_VV_dB"], ["amplitude"], {}), stated_unit(["VV"], [""], {"scale": "power"})
    ('amplitude', 'decibel', 'power')
    >>> stated_unit(["Sigma0_VV"], [""], {}) is None
    True
    """
    lower = {name.casefold(): str(value) for name, value in tags.items()}
    for texts in (names, units, [lower[tag] for tag in UNIT_TAGS if tag in lower]):
        words = {word for text in texts for word in words_of(text)}
        for unit, unit_words in UNIT_WORDS:
            if words & unit_words:
                return unit
    return None


def relative_orbit(source: str, tags: Mapping[str, str]) -> int | None:
    """Return the relative orbit that tags state, or that the file or product is named after; None if unknown.

    >>> relative_orbit("a.tif", {"relativeOrbitNumber_start": "21"})
    21
    >>> relative_orbit("S1A_IW_GRDH_1SDV_20230206T033423_20230206T033448_047112_05A6E4_7C3F.tif", {})
    140
    """
    lower = {name.casefold(): str(value) for name, value in tags.items()}
    for name in TRACK_TAGS:
        if stated := re.fullmatch(r"\s*(\d{1,3})(?:\.0*)?\s*", lower.get(name, "")):
            return int(stated[1])
    for text in (source.replace("\\", "/").rpartition("/")[2], lower.get("product", "")):
        if product := PRODUCT.search(text):
            return (int(product[2]) - FIRST_ORBITS[product[1].upper()]) % ORBITS_IN_CYCLE + 1
        if track := OPERA.search(text):
            return int(track[1])
    return None


def is_radar_name(name: str) -> bool:
    """Return whether the name of a band states a radar quantity, also without a polarisation."""
    words = {*words_of(name)}
    return bool(words & RADAR_WORDS) and not words & DERIVED
