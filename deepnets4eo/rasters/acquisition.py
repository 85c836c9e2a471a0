"""Acquisition time of an image, by the tags or the name of its file; not the time when a program wrote the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

ACQUISITION_TAGS = (
    "ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "ACQUISITION_DATE", "ACQUISITIONDATE", "ACQUISITION_START_TIME",
    "DATE_ACQUIRED", "ACQUIRED", "EXIF_DATETIMEORIGINAL", "NITF_IDATIM", "SENSING_TIME", "SENSING_START", "START_DATETIME",
    "DATATAKE_1_DATATAKE_SENSING_START", "PRODUCT_START_TIME", "FIRST_LINE_TIME", "TIME_COVERAGE_START", "SYSTEM:TIME_START", "DATETIME", "DATE",
)  # fmt: skip
WRITING_TAGS = ("TIFFTAG_DATETIME", "TIFF:DATETIME")
DAY = re.compile(r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)(?:\d{4}|\d{6})?(?!\d)")  # also with hours, minutes and seconds

NAMED_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_./ ]?(0[1-9]|1[0-2])[-_./ ]?([0-2]\d|3[01])(?!\d)"
)  # in a file's name
NAMED_MONTH = re.compile(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})(?!\d)")  # of SNAP: 06-FEB-2023 03:34:23
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MILLISECONDS = re.compile(r"\d{13}(?:\.0*)?")  # since 1970, of Google Earth Engine


def stated_day(tags: Mapping[str, str], names: Sequence[str] = ACQUISITION_TAGS) -> tuple[str, date] | None:
    """Return the first of the named tags that states a day, and the day; None if no tag does.

    >>> stated_day({"Acquisition_Date": "2021:07:16 05:50:11"})
    ('Acquisition_Date', datetime.date(2021, 7, 16))
    >>> stated_day({"TIFFTAG_DATETIME": "2021:07:16 05:50:11"}) is None
    True
    """
    known = {key.upper(): (key, str(value).strip()) for key, value in tags.items()}
    for name in names:
        key, value = known.get(name, ("", ""))
        if (day := _day_of(value)) is not None:
            return key, day
    return None


def named_day(name: str) -> date | None:
    """Return the first day in a file's name, which in names of products is the day of acquisition; None without a day.

    >>> named_day("T37SBA_20230206T081101_B02.jp2"), named_day("10300100E3-2023-02-07-visual.tif"), named_day("20230231.tif")
    (datetime.date(2023, 2, 6), datetime.date(2023, 2, 7), None)
    """
    for match in NAMED_DAY.finditer(name):
        try:
            return date(*map(int, match.groups()))
        except ValueError:  # 31 February
            continue
    return None


def _day_of(text: str) -> date | None:
    """Return the day that a text begins with; None if it is none, such as 31 February."""
    try:
        if MILLISECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text) / 1000, UTC).date()
        if match := DAY.match(text):
            return date(*map(int, match.groups()))
        if match := NAMED_MONTH.match(text):
            return date(int(match[3]), MONTHS.index(match[2].lower()) + 1, int(match[1]))
    except ValueError:
        pass
    return None


def written_day(tags: Mapping[str, str]) -> tuple[str, date] | None:
    """Return the tag that states when a program wrote the file, and the day; None without one."""
    return stated_day(tags, WRITING_TAGS)
