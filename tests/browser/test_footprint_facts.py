"""What the report page says of the footprints' file."""

from made_up_map import make_map
from report_visit import write


def test_ids_that_are_row_numbers_are_not_laid_to_a_file_without_ids(visit, tmp_path):
    damage_map = make_map(12)
    damage_map.footprints = {
        "read": 12, "used": 12, "repaired": 0, "renamed": 0, "made_ids": True, "dropped": {}
    }  # fmt: skip
    one = visit(write(damage_map, tmp_path / "report.html"))
    one.page.locator("#tab-summary").click()
    text = one.page.locator("#view-summary").inner_text()
    assert "row numbers: the file has no usable ids" in text
