"""Days of outlines in the forms that files give them."""

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import box

from deepnets4eo.footprints import read_footprints
from deepnets4eo.footprints.days import parse_days, two_days

DAY = pd.Timestamp("2023-02-06", tz="UTC")


@pytest.mark.parametrize(
    "value",
    [
        "2023-02-06T04:17:00Z", "20230206", 20230206, 1675657020, 1675657020000, 1675657020000000, "1675657020", 1675657020.0, "06.02.2023",
        "6.2.2023 04:17", pd.Timestamp("2023-02-06 04:17"),
    ],
)  # fmt: skip
def test_a_day_is_read_in_every_form(value):
    assert parse_days(pd.Series([value])).dt.normalize().tolist() == [DAY]
    assert two_days(pd.Series([value])) is None


def test_days_and_months_are_told_apart_by_all_values_or_not_at_all():
    assert parse_days(pd.Series(["02/06/2023", "02/13/2023"])).iloc[0] == DAY
    assert parse_days(pd.Series(["06-02-2023", "13-02-2023"])).iloc[0] == DAY
    unclear = pd.Series(["05/06/2022", "07/08/2022"])
    assert parse_days(unclear).isna().all()
    assert two_days(unclear) == "05/06/2022"


@pytest.mark.parametrize("column", [[1675657020, 1577836800], ["06.02.2023", "01.01.2020"]])
def test_outlines_changed_after_the_event_are_found_whatever_the_form(tmp_path, column):
    table = gpd.GeoDataFrame({"timestamp": column}, geometry=[box(0, 0, 1, 1), box(2, 0, 3, 1)], crs=32633)
    table.to_file(tmp_path / "a.gpkg")
    (finding,) = read_footprints(tmp_path / "a.gpkg").date_findings("2022-12-01", "2023-01-15")
    assert (finding.code, finding.message.split()[0]) == ("outlines_too_new", "1")


def test_dates_that_cannot_be_read_are_named(tmp_path):
    table = gpd.GeoDataFrame(
        {"timestamp": ["05/06/2022", "07/08/2022"]}, geometry=[box(0, 0, 1, 1), box(2, 0, 3, 1)], crs=32633
    )
    table.to_file(tmp_path / "a.gpkg")
    (finding,) = read_footprints(tmp_path / "a.gpkg").date_findings("2022-12-01", "2023-01-15")
    assert finding.code == "outline_dates_unread"
    assert "may mean two different days, such as 05/06/2022" in finding.message


@pytest.mark.parametrize(
    "column", ["timestamp", "@timestamp", "@lastEdit", "OSM_Timestamp", "CaptureDate", "last_edited_date"]
)
def test_columns_of_dates_have_the_names_of_other_tools_and_the_next_day_is_later(column):
    days = ["2023-02-05T23:59:59Z", "2023-02-06", "2023-02-07", "2023-02-07T00:00:01Z"]
    shapes = [box(2 * k, 0, 2 * k + 1, 1) for k in range(4)]
    outlines = read_footprints(gpd.GeoDataFrame({column: days}, geometry=shapes, crs=32633))
    (finding,) = outlines.date_findings("2022-12-01", "2023-02-06")
    assert (finding.code, finding.values["number"]) == ("outlines_too_new", 2)
