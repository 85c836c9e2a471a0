"""What a band shows (red, nir, height …), whatever a file calls it, and the index that two such bands give.

Bands without names get the usual ones of their layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from deepnets4eo.errors import InputError

# what a band shows → how files and dataset cards call it, in lower case without blanks, dashes and underscores
ROLES: dict[str, tuple[str, ...]] = {
    "red": ("red", "r"),
    "green": ("green", "g"),
    "blue": ("blue", "b"),
    "nir": ("nir", "nearinfrared", "infrared", "ir", "nir1"),
    "height": ("height", "dsm", "elevation", "z", "altitude"),
    "ground": ("ground", "dtm"),
    "ndsm": ("ndsm", "normalizeddsm", "normalisedheight", "heightaboveground", "hag"),
    "intensity": ("intensity", "lidarintensity"),
}
COLOURS = ("red", "green", "blue")
COLOURS_NM = (660.0, 560.0, 480.0)  # red, green and blue of satellites: at 450 a coastal band would count as blue
UNNAMED: dict[str, dict[int, tuple[str, ...]]] = {"image": {3: COLOURS, 4: (*COLOURS, "nir")}, "dsm": {1: ("height",)}, "dtm": {1: ("ground",)},
           "ndsm": {1: ("ndsm",)}, "intensity": {1: ("intensity",)}}  # fmt: skip


def role_indices(names: Sequence[str]) -> dict[str, int]:
    """Role → index of the first band that has it, by names "band" or "layer.band", whatever their case and spacing.

    >>> role_indices(["image.NIR", "Red", "green"])
    {'nir': 0, 'red': 1, 'green': 2}
    """
    indices: dict[str, int] = {}
    for index, name in enumerate(names):
        plain = "".join(letter for letter in name.split(".", 1)[-1].lower() if letter.isalnum())
        for role, aliases in ROLES.items():
            if plain in aliases:
                indices.setdefault(role, index)
    return indices


def band_keys(names: Sequence[str], colours: Sequence[str] | None) -> tuple[str, ...]:
    """What tells bands apart: their names or, without any, their colours; () if these leave two bands alike.

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


def colour_bands(names: Sequence[str]) -> list[int]:
    """Indices of red, green and blue by name, else of the first three bands, else three times the first as grey.

    >>> colour_bands(["B", "G", "R", "nir"]), colour_bands(["a", "b", "c"]), colour_bands(["VV"])
    ([2, 1, 0], [0, 1, 2], [0, 0, 0])
    """
    roles = role_indices(names)
    if all(colour in roles for colour in COLOURS):
        return [roles[colour] for colour in COLOURS]
    return [0, 1, 2] if len(names) >= 3 else [0, 0, 0]


def layer_names(layer: str, own: Sequence[str], named: Sequence[str] | None = None) -> list[str]:
    """The names of a layer's bands: `named`, else its own, else by custom (`image`: red, green, blue, near infrared)."""
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
    """(plus − minus) / (plus + minus), clipped to −1…1, NaN where both are 0; NIR and red give NDVI (Rouse et al. 1974)."""
    total = plus + minus
    unknown = np.full_like(total, np.nan)
    return np.clip(np.divide(plus - minus, total, out=unknown, where=total != 0), -1, 1)


CENTRES_NM = {  # centres
    "B01": 443, "B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783, "B08": 833, "B8A": 865, "B09": 945,
    "B10": 1374, "B11": 1614, "B12": 2202,
}  # fmt: skip
COMMON_NAMES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir": "B08", "nearinfrared": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip


def name_band(name: str) -> str:
    """The usual name of a band: B1, b01 and coastal are B01; other names in capitals.

    >>> name_band("b1"), name_band("swir22"), name_band("B8A"), name_band("vv")
    ('B01', 'B12', 'B8A', 'VV')
    """
    plain = name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    plain = COMMON_NAMES.get(plain, plain).upper()
    return f"B0{plain[1:]}" if len(plain) == 2 and plain[0] == "B" and plain[1].isdigit() else plain


def is_band_name(word: str) -> bool:
    """Whether a word is the usual name of a spectral band: a colour, an infrared, or a number such as B4 and b8a.

    >>> [is_band_name(word) for word in ("nir", "B8A", "swir22", "2019", "dsm")]
    [True, True, True, False, False]
    """
    return name_band(word) in CENTRES_NM or bool({*COLOURS, "nir"} & role_indices([word]).keys())
