"""The day on which an image was taken, by the tags of its file."""

from datetime import date

import pytest

from deepnets4eo.rasters.acquisition import ACQUISITION_TAGS, stated_day

DAY = date(2023, 2, 6)


@pytest.mark.parametrize("tag", ACQUISITION_TAGS)
def test_each_tag_is_read_in_any_case_of_letters(tag: str) -> None:
    assert stated_day({"TIFFTAG_DATETIME": "2024:01:01 00:00:00", tag.lower(): "2023-02-06T10:00:00Z"}) == (
        tag.lower(), DAY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2023-02-06", DAY),
        ("2023:02:06 23:59:59", DAY),
        ("2023/02/06", DAY),
        ("20230206", DAY),
        ("20230206103000", DAY),
        ("202302061030", DAY),
        ("06-FEB-2023 03:34:23.012345", DAY),  # of SNAP
        ("6-Feb-2023", DAY),
        ("1675641600000", DAY),  # of Google Earth Engine: midnight, in milliseconds since 1970
        ("1675641599999.0", date(2023, 2, 5)),
        ("06/02/2023", None),  # 6 February or 2 June
        ("2023-02-31", None),
        ("06-FEV-2023", None),
        ("31-FEB-2023", None),
        ("2023020", None),
        ("", None),
    ],
)
def test_a_day_is_read_in_the_ways_that_it_is_written(text: str, day: date | None) -> None:
    assert stated_day({"datetime": text}) == (None if day is None else ("datetime", day))


def test_the_first_tag_that_states_a_day_counts() -> None:
    assert stated_day({"DATE": "2024-01-01", "DATE_ACQUIRED": "2023-02-06"}) == ("DATE_ACQUIRED", DAY)
    assert stated_day({"DATE": "2023-02-06", "DATE_ACQUIRED": "unknown"}) == ("DATE", DAY)
    assert stated_day({}) is None
