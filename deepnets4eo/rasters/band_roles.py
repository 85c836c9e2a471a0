"""Roles of bands (red, nir, height …), however a file names them, and the indices that such bands give.

The only list of roles: by names, by the numbers of a satellite's bands, by wavelengths. Bands without names get the usual
names of their layer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.arrays import Floats
from deepnets4eo.errors import InputError

# what a band shows → how files and dataset cards call it, in lower case without blanks, dashes and underscores
COUNTED = re.compile(
    r"(?:band|layer)[ _-]*\d+\s*[:\-–(\[ ]+\s*([A-Za-z][A-Za-z _-]*?)\s*[)\]]?", re.IGNORECASE
)  # Band 1 (Red)
ROLES: dict[str, tuple[str, ...]] = {
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "nir": ("nir", "nearinfrared", "infrared", "ir", "nir1", "nir08"),
    "swir": ("swir", "swir1", "swir16", "shortwaveinfrared"),
    "swir2": ("swir2", "swir22", "shortwaveinfrared2"),
    "height": ("height", "dsm", "elevation", "z", "altitude"),
    "ground": ("ground", "dtm"),
    "ndsm": ("ndsm", "normalizeddsm", "normalisedheight", "heightaboveground", "hag"),
    "intensity": ("intensity", "lidarintensity"),
}
COLOURS = ("red", "green", "blue")
ROLES_NM = {
    "red": 660.0,
    "green": 560.0,
    "blue": 480.0,
    "nir": 840.0,
    "swir": 1610.0,
    "swir2": 2200.0,
}  # at 450 a coastal band would count as blue
COLOURS_NM = tuple(ROLES_NM[colour] for colour in COLOURS)
MAX_OFF = 0.1  # of a wavelength, by which a band may be beside that of a role
UNNAMED: dict[str, dict[int, tuple[str, ...]]] = {"image": {3: COLOURS, 4: (*COLOURS, "nir")}, "dsm": {1: ("height",)}, "dtm": {1: ("ground",)},
           "ndsm": {1: ("ndsm",)}, "intensity": {1: ("intensity",)}}  # fmt: skip


def without_number(name: str) -> str:
    """Return the words of a name that counts its band before: "Band 1 (Red)" is Red; any other name unchanged."""
    match = COUNTED.fullmatch(name.strip())
    return name if match is None else match[1]


def role_indices(names: Sequence[str]) -> dict[str, int]:
    """Role → index of the first band that has it, by names "band" or "layer.band", whatever their case and spacing.

    >>> role_indices(["image.NIR", "Red", "green"]), role_indices(["Band 1 (Blue)", "band 2: green"])
    ({'nir': 0, 'red': 1, 'green': 2}, {'blue': 0, 'green': 1})
    """
    indices: dict[str, int] = {}
    for index, name in enumerate(names):
        plain = "".join(letter for letter in without_number(name.split(".", 1)[-1]).lower() if letter.isalnum())
        for role, aliases in ROLES.items():
            if plain in aliases:
                indices.setdefault(role, index)
    return indices


def band_keys(names: Sequence[str], colours: Sequence[str] | None) -> tuple[str, ...]:
    """Return the keys that match the bands of two files: their names or, without names, their colours; () if two are equal.

    Names and colours never match each other: writers declare the bands of most 8-bit files as red, green, blue.

    >>> band_keys(["band_1", "band_2", "band_3"], ["blue", "green", "red"])
    ('colour blue', 'colour green', 'colour red')
    >>> band_keys(["B2", "B3"], None), band_keys(["band_1"], ["gray"])
    (('b2', 'b3'), ())
    """
    keys = tuple(name.strip().casefold() for name in names)
    if any(key.startswith("band_") for key in keys):
        keys = tuple(f"colour {role}" for role in colours or ()) if {*COLOURS} <= {*(colours or ())} else ()
    return keys if len(set(keys)) == len(keys) else ()


MAX_SCENE_BANDS = 16  # bands of WorldView-3, the most of satellites whose bands are not a spectrum


def colour_positions(
    names: Sequence[str], colours: Sequence[str] | None, wavelengths_nm: Floats | None = None
) -> dict[str, int]:
    """Return role → index of red, green and blue, by names or, without meaningful names, by colour interpretation, else wavelengths; {} unless
    all are known. Wavelengths of cubes do not count: several of their bands are red.

    >>> colour_positions(["blue", "green", "red", "nir"], None), colour_positions(["band_1", "band_2", "band_3"], ["red", "green", "blue"])
    ({'red': 2, 'green': 1, 'blue': 0}, {'red': 0, 'green': 1, 'blue': 2})
    >>> colour_positions(["nir", "red", "green"], ["red", "green", "blue"])
    {}
    >>> colour_positions(["band_1", "band_2", "band_3", "nir"], ["red", "green", "blue", "undefined"])
    {'red': 0, 'green': 1, 'blue': 2}
    >>> colour_positions(["band_1", "band_2", "band_3", "band_4"], None, np.array([842.0, 665, 560, 490]))
    {'red': 1, 'green': 2, 'blue': 3}
    """
    roles = spectral_roles(names)
    if not {*COLOURS} <= roles.keys():
        if colours is not None and {*COLOURS} <= {*colours}:
            roles = {colour: list(colours).index(colour) for colour in COLOURS}
        else:
            roles = roles_by_wavelength(wavelengths_nm if len(names) <= MAX_SCENE_BANDS else None)
        if not {*COLOURS} <= roles.keys() or not all(
            states_nothing(names[roles[colour]], roles[colour] + 1) for colour in COLOURS
        ):
            return {}
    return {colour: roles[colour] for colour in COLOURS}


def order_by_colours(wanted: Mapping[str, int], count: int, own: Mapping[str, int], own_count: int) -> list[int] | None:
    """Return the index of the own band at each wanted position: colours by role, others in their order; None if they do not correspond.

    wanted, own : results of `colour_positions`; count, own_count : numbers of bands

    >>> order_by_colours({"red": 2, "green": 1, "blue": 0}, 4, {"red": 0, "green": 1, "blue": 2}, 4)
    [2, 1, 0, 3]
    """
    if not wanted or not own or (count != own_count and count != len(COLOURS)):
        return None
    by_position = {position: own[colour] for colour, position in wanted.items()}
    others = iter(index for index in range(own_count) if index not in own.values())
    return [by_position[position] if position in by_position else next(others) for position in range(count)]


class Numbering(NamedTuple):
    """Contents of the numbered bands of a satellite.

    roles : number → role; all : every number that it has; known_by : expression for names of files and platforms
    common : number → common name of a band of Sentinel-2 at its wavelength; of Sentinel-2 itself none
    """

    roles: Mapping[str, str]
    all: frozenset[str]
    known_by: re.Pattern[str]
    common: Mapping[str, str] = MappingProxyType({})


SENTINEL_2 = Numbering(
    {"B02": "blue", "B03": "green", "B04": "red", "B08": "nir", "B8A": "nir", "B11": "swir", "B12": "swir2"},
    frozenset({"B8A", *(f"B{number:02}" for number in range(1, 13))}),
    re.compile(r"sentinel[-_ ]?2|(?<![a-z0-9])s2[abc]?(?![a-z0-9])|hls[._]s30"),
)
LANDSAT_8 = Numbering(  # and 9
    {"B02": "blue", "B03": "green", "B04": "red", "B05": "nir", "B06": "swir", "B07": "swir2"},
    frozenset(f"B{number:02}" for number in range(1, 12)),
    re.compile(r"landsat[-_ ]?[89]|(?<![a-z0-9])l[co]0[89](?![0-9])|hls[._]l30"),
    {"B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "nir08", "B06": "swir16", "B07": "swir22", "B09": "cirrus"},
)  # fmt: skip
LANDSAT_4 = Numbering(  # to 7
    {"B01": "blue", "B02": "green", "B03": "red", "B04": "nir", "B05": "swir", "B07": "swir2"},
    frozenset(f"B{number:02}" for number in range(1, 9)),
    re.compile(r"landsat[-_ ]?[4-7]|(?<![a-z0-9])l[te]0[4-7](?![0-9])"),
    {"B01": "blue", "B02": "green", "B03": "red", "B04": "nir", "B05": "swir16", "B07": "swir22"},
)
AS_OF_SENTINEL_2 = re.compile(r"b0\d|b8a", re.IGNORECASE)  # how ESA writes numbers; Landsat has B2
NUMBERED = re.compile(r"(?:(sr|st|toa)_)?b(?:and)?[ _]?(\d{1,2}a?)(?:_\d+m)?")


def spectral_roles(names: Sequence[str], stated: str = "") -> dict[str, int]:
    """Role → index of its band, by names, else by the numbers of the bands of Sentinel-2 or Landsat.

    Numbers count only if satellite is certain: by `stated`, the words of a file about itself, or by the set of numbers. B8 is near infrared of
    Sentinel-2 and panchromatic of Landsat 8.

    >>> spectral_roles(["B2", "B3", "B4", "B8"])
    {'blue': 0, 'green': 1, 'red': 2, 'nir': 3}
    >>> spectral_roles([f"B{number}" for number in range(1, 12)])
    {'blue': 1, 'green': 2, 'red': 3, 'nir': 4, 'swir': 5, 'swir2': 6}
    >>> spectral_roles([f"B{number}" for number in range(1, 8)]), spectral_roles(["B3", "B5", "B6"], "LC09_L2SP_190030")
    ({}, {'green': 0, 'nir': 1, 'swir': 2})
    """
    roles = role_indices(names)
    numbered = _numbered(names)
    numbering = _numbering({*numbered.values()}, stated.casefold())
    if numbering is not None:
        for index, name in numbered.items():
            role = numbering.roles.get(name.removeprefix("sr").removeprefix("toa"))
            if role is not None:
                roles.setdefault(role, index)
    return roles


def _numbered(names: Sequence[str]) -> dict[int, str]:
    """Index → usual number of the bands that have one, with "sr", "st" or "toa" before it if the file has that."""
    matches = ((index, NUMBERED.fullmatch(name.strip().casefold())) for index, name in enumerate(names))
    return {index: f"{match[1] or ''}{name_band('b' + match[2])}" for index, match in matches if match}


def _numbering(names: set[str], stated: str) -> Numbering | None:
    """Return the satellite whose numbered bands are these; None if more than one is possible.

    The numbers may follow "sr" or "st" if the file has them."""
    numbers = {name.removeprefix("sr").removeprefix("st").removeprefix("toa") for name in names}
    possible = [satellite for satellite in (SENTINEL_2, LANDSAT_8, LANDSAT_4) if numbers and numbers <= satellite.all]
    named = [satellite for satellite in possible if satellite.known_by.search(stated)]
    if len(named) == 1 or len(possible) == 1:
        return (named or possible)[0]
    if any(name.startswith(("sr", "st")) for name in names):  # reflectance and temperature of Landsat, Collection 2
        return LANDSAT_8 if names & {"srB06", "stB10"} else LANDSAT_4 if "stB06" in names else None
    if "B10" in numbers:  # with B8A and B12, if it were cirrus of Sentinel-2
        return LANDSAT_8
    if "B11" in numbers or ("B08" in numbers and not numbers & {"B05", "B06", "B07"}):
        return SENTINEL_2
    return None


def roles_by_wavelength(wavelengths_nm: Floats | None) -> dict[str, int]:
    """Role → index of the band nearest to its wavelength, a tenth away at most.

    >>> roles_by_wavelength(np.array([480.0, 561, np.nan, 865, 2200]))
    {'green': 1, 'blue': 0, 'nir': 3, 'swir2': 4}
    """
    if wavelengths_nm is None or not np.isfinite(wavelengths_nm).any():
        return {}
    nearest = zip(ROLES_NM.items(), nearest_indices(wavelengths_nm, ROLES_NM.values()), strict=True)
    return {role: index for (role, centre), index in nearest if abs(wavelengths_nm[index] - centre) <= MAX_OFF * centre}


NAMELESS = re.compile(r"(?:band|layer|channel|image|ch|b)?[ _-]*(\d*)|gr[ae]y|values?|data|array")


def states_nothing(name: str, number: int) -> bool:
    """Return whether the name of a band, the `number`-th of its source from 1, does not indicate its role.

    A number other than the band's own position is a satellite's band number.

    >>> [states_nothing(name, 2) for name in ("band_2", "B2", "", "gray", "B5", "B8A", "ndvi", "VV")]
    [True, True, True, True, False, False, False, False]
    """
    match = NAMELESS.fullmatch(name.strip().casefold())
    return match is not None and int(match[1] or number) == number


def colour_bands(names: Sequence[str], *, known: bool = False) -> list[int]:
    """Return the indices of red, green and blue by name, else of the first three bands, else three times the first as grey.

    `known`: also by the numbers of satellites and wavelengths in the names, and [] instead of a guess. Raises InputError for numbers
    that several satellites have.

    >>> colour_bands(["B", "G", "R", "nir"]), colour_bands(["a", "b", "c"]), colour_bands(["VV"])
    ([2, 1, 0], [0, 1, 2], [0, 0, 0])
    >>> colour_bands(["B02", "B03", "B04", "B08"], known=True), colour_bands(["a", "b", "c"], known=True)
    ([2, 1, 0], [])
    >>> colour_bands(["Band 1 (482.0 Nanometers)", "561 nm", "655 nm", "865 nm"], known=True)
    [2, 1, 0]
    """
    if known:
        return _known_colours(names)
    roles = role_indices(names)
    if all(colour in roles for colour in COLOURS):
        return [roles[colour] for colour in COLOURS]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def layer_names(layer: str, own: Sequence[str], named: Sequence[str] | None = None) -> list[str]:
    """Return the names of a layer's bands: `named`, else its own, else the usual ones (`image`: red, green, blue, NIR)."""
    if all(name.casefold().startswith("band_") for name in own):
        own = UNNAMED.get(layer, {}).get(len(own), own)
    names = own if named is None else named
    if len(names) != len(own):
        raise InputError(
            f"layer {layer!r} has {len(own)} bands, but {len(names)} names were given ({', '.join(names)}). "
            "Give one name a band (model.bands in a recipe, --bands on the command line)."
        )
    return list(names)


def nearest_indices(wavelengths_nm: NDArray[np.float64], targets_nm: Iterable[float]) -> list[int]:
    """Index of the band nearest to each wavelength; bands without a wavelength (NaN) are left out.

    >>> nearest_indices(np.array([450.0, np.nan, 650.0]), [500, 600])
    [0, 2]
    """
    return [int(np.nanargmin(np.abs(wavelengths_nm - target))) for target in targets_nm]


def normalised_difference(plus: NDArray[np.float32], minus: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute (plus − minus) / (plus + minus), clipped to −1…1, NaN if both are 0; NIR and red give NDVI (Rouse et al. 1974)."""
    total = plus + minus
    unknown = np.full_like(total, np.nan)
    return np.clip(np.divide(plus - minus, total, out=unknown, where=total != 0), -1, 1)


def excess_green(
    red: NDArray[np.float32], green: NDArray[np.float32], blue: NDArray[np.float32]
) -> NDArray[np.float32]:
    """2 × green − red − blue (Woebbecke 1995), in the unit of the bands; −1…2 of shares of their sum.

    >>> float(excess_green(*np.array([0.25, 0.5, 0.25])))
    0.5
    """
    return 2 * green - red - blue


STATED_NM = re.compile(r"(\d+(?:\.\d+)?) ?(?:nm|nanomet)", re.IGNORECASE)  # as writers of ENVI put it into names


def _known_colours(names: Sequence[str]) -> list[int]:
    """Return the indices of red, green and blue by names, numbers of satellites or wavelengths in the names; [] if one is unknown."""
    stated = [STATED_NM.search(name) for name in names]
    by_wavelength = roles_by_wavelength(np.array([float(match[1]) if match else np.nan for match in stated]))
    by_number = {name: index for index, (name, _) in reversed([*enumerate(spectral_bands(names))])}
    numbered = {colour: by_number[COMMON_NAMES[colour]] for colour in COLOURS if COMMON_NAMES[colour] in by_number}
    roles = by_wavelength | numbered | role_indices(names)
    return [roles[colour] for colour in COLOURS] if {*COLOURS} <= roles.keys() else []


CENTRES_NM = {  # centres
    "B01": 443, "B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783, "B08": 833, "B8A": 865, "B09": 945,
    "B10": 1374, "B11": 1614, "B12": 2202,
}  # fmt: skip
COMMON_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir": "B08", "nearinfrared": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip


AMBIGUOUS = re.compile("B[5-9]")  # of Landsat, or of Sentinel-2 without its zero


def name_band(name: str) -> str:
    """Return the usual name of a band: B1, b01 and coastal are B01; other names in capitals.

    >>> name_band("b1"), name_band("swir22"), name_band("B8A"), name_band("vv")
    ('B01', 'B12', 'B8A', 'VV')
    """
    plain = without_number(name).strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    plain = COMMON_NAMES.get(plain, plain).upper()
    return f"B0{plain[1:]}" if len(plain) == 2 and plain[0] == "B" and plain[1].isdigit() else plain


def band_key(name: str) -> str:
    """Return a name by which the bands of two files are matched: the usual one, but B5 to B9, which Landsat has too, as written.

    >>> [band_key(name) for name in ("Red ", "B4", "b04", "B5", "B05", "Near Infrared")]
    ['B04', 'B04', 'B04', 'B5', 'B05', 'B08']
    """
    plain = name.strip().upper()
    return plain if AMBIGUOUS.fullmatch(plain) else name_band(name)


def spectral_bands(names: Sequence[str]) -> list[tuple[str, float | None]]:
    """Return the name of Sentinel-2's band at the wavelength of each band, and that wavelength in nm; other names in capitals, and None.

    Numbers of Landsat become numbers of Sentinel-2; bands that are only counted have no wavelength. Raises InputError for
    numbers that several satellites have.

    >>> spectral_bands(["B2", "B8"]), spectral_bands(["B5", "B6", "B10"])
    ([('B02', 492), ('B08', 833)], [('B8A', 865), ('B11', 1614), ('LANDSAT B10', None)])
    >>> spectral_bands(["band_1", "band_2", "band_3"])
    [('BAND_1', None), ('BAND_2', None), ('BAND_3', None)]
    >>> len(spectral_bands(2 * ["band_1", "band_2", "band_3"]))  # of two dates
    6
    """
    of_a_date = len({*names})  # a scene of several dates counts the bands of each
    counted = (states_nothing(name, 1 + index % of_a_date) for index, name in enumerate(names))
    if all(name.startswith("band_") for name in names) and all(counted):
        return [(name.upper(), None) for name in names]
    usual, numbered = [name_band(name) for name in names], _numbered(names)
    numbering = _numbering({*numbered.values()}, "")
    if (
        numbered
        and numbering is None
        and not all(AS_OF_SENTINEL_2.fullmatch(names[index].strip()) for index in numbered)
    ):
        raise InputError(
            f"the bands {', '.join(names)} may be of Sentinel-2, Landsat 4 to 7 or Landsat 8 and 9, whose numbers mean other wavelengths. Name "
            "them by colours (blue, green, red, nir08, swir16, swir22), or as Sentinel-2 has them (B02, B8A)."
        )
    for index, name in numbered.items():
        number = name.removeprefix("sr").removeprefix("st").removeprefix("toa")
        if numbering in (None, SENTINEL_2):
            usual[index] = number
        else:
            usual[index] = name_band(numbering.common[number]) if number in numbering.common else f"LANDSAT {number}"
    return [(name, CENTRES_NM.get(name)) for name in usual]


def has_centre(name: str) -> bool:
    """Return whether a name is the usual name of a band with a wavelength, see `name_band`."""
    return name in CENTRES_NM


def is_band_name(word: str) -> bool:
    """Return whether a word is the usual name of a spectral band: a colour, an infrared, or a number such as B4 and b8a.

    >>> [is_band_name(word) for word in ("nir", "B8A", "swir22", "2019", "dsm")]
    [True, True, True, False, False]
    """
    return has_centre(name_band(word)) or bool({*COLOURS, "nir"} & role_indices([word]).keys())
