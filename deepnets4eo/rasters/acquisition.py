"""Acquisition time of an image, by the tags of its file; not the time when a program wrote the file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

ACQUISITION_TAGS = (
    "ACQUISITIONDATETIME", "ACQUISITION_DATETIME", "ACQUISITION_DATE", "ACQUISITIONDATE", "ACQUISITION_START_TIME",
    "DATE_ACQUIRED", "ACQUIRED", "EXIF_DATETIMEORIGINAL", "NITF_IDATIM", "DATETIME", "DATE",
)  # fmt: skip
WRITING_TAGS = ("TIFFTAG_DATETIME", "TIFF:DATETIME")
DAY = re.compile(r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)(?:\d{4}|\d{6})?(?!\d)")  # also with hours, minutes and seconds


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
        if match := DAY.match(value):
            try:
                return key, date(*map(int, match.groups()))
            except ValueError:  # 31 February is none
                continue
    return None


def written_day(tags: Mapping[str, str]) -> tuple[str, date] | None:
    """Return the tag that states when a program wrote the file, and the day; None without one."""
    return stated_day(tags, WRITING_TAGS)
