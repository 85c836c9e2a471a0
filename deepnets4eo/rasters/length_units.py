"""Units of length by the names that files give them, such as "US survey foot", "ftUS", "yd" or "cm", in metres."""

from __future__ import annotations

import re

SPELLINGS: dict[float, tuple[str, ...]] = {
    1.0: ("m", "metre", "meter"),
    1000.0: ("km", "kilometre", "kilometer"),
    0.1: ("dm", "decimetre", "decimeter"),
    0.01: ("cm", "centimetre", "centimeter"),
    0.001: ("mm", "millimetre", "millimeter"),
    0.3048: ("ft", "foot", "feet", "'"),
    0.9144: ("yd", "yard"),
    0.0254: ("in", "inch", "inche"),
    1609.344: ("mi", "mile"),
    1.8288: ("fath", "fathom", "ftm"),
}
METRES = {spelling: metres for metres, spellings in SPELLINGS.items() for spelling in spellings}
LEFT_OUT = {"international", "intl", "i", "statute"}  # words beside the name of a unit that do not change it
OF_SURVEYS = {"us", "survey", "u", "s"}
GLUED = re.compile(r"us(ft|foot|feet|yd|in|mi)|(ft|foot)us")
SURVEY_FOOT = 1200 / 3937 / 0.3048  # of the international foot


def metres_of(unit: str) -> float | None:
    """Metres of a unit of length; None for another quantity and for what is not known.

    >>> [metres_of(unit) for unit in ("dm", "Yards", "[ft_i]", "m/s", "metres above sea level")]
    [0.1, 0.9144, 0.3048, None, 1.0]
    >>> [f"{metres_of(unit):.10f}" for unit in ("US_ft", "U.S. survey feet", "ftUS")]
    ['0.3048006096', '0.3048006096', '0.3048006096']
    """
    text = re.split(r"\babove\b", unit.casefold().replace(".", ""))[0]
    if re.search(r"[/^²³*]|\bper\b|\d", text):  # a speed, an area or a density
        return None
    words = [word for word in re.findall(r"[a-z']+", text) if word not in LEFT_OUT]
    survey = bool({"us", "survey"} & {*words}) or GLUED.fullmatch("".join(words)) is not None
    name = "".join(words)
    if survey:
        name = re.sub(r"^us|us$", "", "".join(word for word in words if word not in OF_SURVEYS))
    metres = METRES.get(name, METRES.get(name.removesuffix("s")))
    if metres is None:
        return _registered(unit)
    return metres * SURVEY_FOOT if survey else metres


def _registered(unit: str) -> float | None:
    """Metres of a national foot, chain or link of the EPSG register, by its name."""
    from pyproj.database import get_units_map

    known = get_units_map(auth_name="EPSG", category="linear").values()
    plain = unit.strip().casefold()
    return next(
        (float(entry.conv_factor) for entry in known if plain in (entry.name.casefold(), entry.proj_short_name)), None
    )
