"""Days of the last changes of outlines, in the forms that files use: ISO 8601, numbers of seconds, day.month.year."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

BY_PARTS = re.compile(r"\s*(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:[ T,].*)?\s*")
NUMBER = re.compile(r"\s*\d+(?:\.\d*)?\s*")
MIN_SECONDS = 1e8  # since 1970, in the year 1973; smaller numbers are years, or days without signs between
STEP = 1e3  # from seconds to milliseconds, microseconds and nanoseconds
MONTHS = 12


def parse_days(values: pd.Series) -> pd.Series:
    """Parse texts, numbers and times to times in UTC; NaT if a value is not a time, or may be two days (see `two_days`).

    >>> days = pd.Series(["2023-02-06", 1675641600, "1675641600000", "06.02.2023", None])
    >>> parse_days(days).dt.strftime("%Y-%m-%d").tolist()
    ['2023-02-06', '2023-02-06', '2023-02-06', '2023-02-06', nan]
    """
    if pd.api.types.is_datetime64_any_dtype(values):
        return pd.to_datetime(values, utc=True, errors="coerce")
    known = values.notna()
    texts = values.astype(object).where(known, "").map(_text)
    days = pd.to_datetime(texts.where(known), utc=True, errors="coerce", format="ISO8601")
    numbers = pd.to_numeric(texts.where(texts.str.fullmatch(NUMBER)), errors="coerce")
    since_1970 = numbers.where(numbers >= MIN_SECONDS)
    steps = np.floor(np.log10((since_1970 / MIN_SECONDS).to_numpy(float)) / np.log10(STEP))
    seconds = pd.to_datetime(since_1970 / STEP**steps, unit="s", utc=True, errors="coerce")
    return days.mask(since_1970.notna(), seconds).fillna(_by_parts(texts))


def two_days(values: pd.Series) -> str | None:
    """Return the first value that may be two days, such as 05/06/2022, or None if there is none."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return None
    texts = values.dropna().astype(object).map(_text)
    parts = texts.str.extract(BY_PARTS)
    unclear = parts[1].notna() & (_day_first(parts) is None)
    return str(texts[unclear].iloc[0]) if unclear.any() else None


def _text(value: object) -> str:
    """Return a value as text; whole floating-point numbers are written as integers."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _day_first(parts: pd.DataFrame) -> bool | None:
    """Return whether the day comes before the month, by all values together and by the custom of dots; None if unknown."""
    first, second = (pd.to_numeric(parts[column]) for column in (0, 2))
    days, months = bool((first > MONTHS).any()), bool((second > MONTHS).any())
    if days != months:
        return days
    with_dots = bool((parts[1].dropna() == ".").all())
    return True if with_dots and not days else None


def _by_parts(texts: pd.Series) -> pd.Series:
    parts = texts.str.extract(BY_PARTS)
    day_first = _day_first(parts)
    if day_first is None:
        return pd.Series(pd.NaT, texts.index, dtype="datetime64[ns, UTC]")
    day, month = (parts[0], parts[2]) if day_first else (parts[2], parts[0])
    return pd.to_datetime(parts[3] + "-" + month + "-" + day, utc=True, errors="coerce", format="%Y-%m-%d")
