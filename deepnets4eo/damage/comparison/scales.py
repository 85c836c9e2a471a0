"""Scales of grades: all words or codes of one source and what each means. A value that a scale lacks is refused, never dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepnets4eo.damage.products.crosswalk import CROSSWALK
from deepnets4eo.damage.table.vocabulary import GRADES, MAJOR, NOT_KNOWN, TITLES
from deepnets4eo.display import list_and_count
from deepnets4eo.errors import InputError
from deepnets4eo.options import normalise_name, split_names

if TYPE_CHECKING:
    import pandas as pd

TWO = ("intact", "damaged")
MAX_NAMED = 8  # values in a sentence
MODERATE = MAJOR  # UNOSAT's moderate damage, grade 3 of EMS-98, where our major damage begins


@dataclass(frozen=True)
class Scale:
    """The words or codes of one source.

    Parameters
    ----------
    name : for `--set scale`, and for messages
    words : normalised word or code → index in `classes`; None: a known word for a building without a grade
    classes : `GRADES` or `TWO`
    """

    name: str
    words: Mapping[str, int | None]
    classes: tuple[str, ...] = GRADES

    def grades(self, words: pd.Series, where: str) -> pd.Series:
        """Return the class index of each word, NaN without a grade. Raises InputError, which names all words that the scale lacks."""
        unknown = words[words.notna() & ~words.isin(list(self.words))]
        if len(unknown):
            counts = unknown.value_counts(sort=False).sort_index()
            named = list_and_count([f"{word} ({number})" for word, number in counts.items()], MAX_NAMED)
            none_known = len(counts) == words.nunique()
            what = "holds no grades" if none_known else f"holds {len(counts)} values that are no grades of {self.name}"
            raise InputError(f"{where} {what}: {named}. {REMEDY}")
        if words.isna().all():
            raise InputError(f"{where} holds no grades: all of it is empty. {REMEDY}")
        return words.map(dict(self.words)).astype(float)


def _words() -> dict[str, int | None]:
    """Return the words of our map and of xBD, Copernicus EMS, UNOSAT and OpenStreetMap, which do not contradict each other."""
    known: dict[str, int | None] = {}
    for number, (grade, names) in enumerate(CROSSWALK.items()):
        texts = (grade, TITLES[grade], names.xbd, names.cems, *(names.unosat or ())[1:], *filter(None, (names.osm,)))
        known |= dict.fromkeys(map(normalise_name, map(str, texts)), number if grade in GRADES else None)
    return known | {"moderate-damage": MODERATE, NOT_KNOWN: None}


def _unosat_grades() -> dict[str, int | None]:
    """Return the codes of UNOSAT and their words, which some of its files have in the column of codes. Our own map writes all but
    moderate damage."""
    known: dict[str, int | None] = {"3": MODERATE, "moderate-damage": MODERATE}
    for number, names in enumerate(CROSSWALK.values()):
        if names.unosat:
            known |= dict.fromkeys(map(normalise_name, map(str, names.unosat)), number)
    return known


YES_AND_NO = Scale(
    "yes and no",
    dict.fromkeys(("0", "false", "no", "intact", "undamaged", "not-damaged"), 0)
    | dict.fromkeys(("1", "true", "yes", "damaged"), 1),
    TWO,
)
WORDS = Scale("the words of xBD, Copernicus EMS, UNOSAT and OpenStreetMap", _words())
CODES = {
    "xview2": Scale("xView2 (1 no damage to 4 destroyed)", {str(k + 1): k for k in range(len(GRADES))}),
    "unosat": Scale("UNOSAT (1 destroyed, 2 severe, 3 moderate, 4 possible, 6 none visible)", _unosat_grades()),
    "yes-no": YES_AND_NO,
}
REMEDY = (
    f"Expected {', '.join(GRADES)}, the words of xBD, Copernicus EMS, UNOSAT or OpenStreetMap, or yes and no. State what other words and "
    f"codes mean, all of them: --set scale={'|'.join(CODES)}, or --set scale=WORD=GRADE,WORD=GRADE (none: without a grade); for numbers "
    "with a threshold --set above=NUMBER."
)


def scale_of(text: str) -> Scale:
    """Return the scale of a name (`CODES`), or of `WORD=GRADE,…`. Raises InputError."""
    if text in CODES:
        return CODES[text]
    pairs = [part.rpartition("=") for part in split_names(text)]
    meanings = {**WORDS.words, "none": None}
    for word, _, grade in pairs:
        if not word.strip() or normalise_name(grade) not in meanings:
            raise InputError(
                f"scale is {text!r}; expected {', '.join(CODES)}, or pairs such as Affected=no-damage,Minor=minor-damage with the grades "
                f"{', '.join(GRADES)} or none."
            )
    return Scale("the stated scale", {as_word(word): meanings[normalise_name(grade)] for word, _, grade in pairs})


def read_grades(column: pd.Series, where: str, scale: Scale | None = None) -> tuple[pd.Series, tuple[str, ...]]:
    """Return the class index of each row, NaN without a grade, and the classes.

    where : file and column, for messages; scale : None if the values have to show it, which only words and 0 and 1 do

    Raises
    ------
    InputError
        A value is not of the scale, or all values are numbers whose scale is not stated.
    """
    words = column.astype(object).map(as_word, na_action="ignore")
    words = words.mask(words == "")
    different = set(words.dropna())
    if scale is None:
        two = different <= YES_AND_NO.words.keys() and (different & {"0", "1"}) in (set(), {"0", "1"})
        scale = YES_AND_NO if two and different else WORDS
        if scale is WORDS and different and all(_is_number(word) for word in different):
            named = ", ".join(sorted(different, key=float)[:MAX_NAMED])
            raise InputError(f"{where} holds no grades but numbers whose scale is not stated: {named}. {REMEDY}")
    return scale.grades(words, where), scale.classes


def as_word(value: Any) -> str:
    """Return a value as a word, with whole numbers written without a decimal point."""
    if isinstance(value, (bool, np.bool_)):
        return str(value).lower()
    try:
        number = None if isinstance(value, str) and not _is_number(value) else float(value)
        return normalise_name(str(value) if number is None or not math.isfinite(number) else f"{number:.10g}")
    except (TypeError, ValueError, OverflowError):  # a day, a list, another geometry
        return normalise_name(str(value))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
