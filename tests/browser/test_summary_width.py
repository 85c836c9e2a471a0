"""The tab "Summary and quality" of a map without a place on the Earth is no wider than a phone."""

import pytest
from made_up_map import make_grid, make_map
from odc.geo.geobox import GeoBox
from report_visit import PHONE, write

from deepnets4eo.rasters.plane_crs import PLAIN_METRES

pytestmark = pytest.mark.browser


def test_the_summary_of_a_map_in_plain_metres_fits_a_phone(visit, tmp_path):
    damage_map, grid = make_map(60), make_grid()
    for name in ("buildings", "assessed_extent"):
        table = getattr(damage_map, name)
        setattr(damage_map, name, table.set_crs(PLAIN_METRES, allow_override=True))
    one = visit(write(damage_map, tmp_path / "report.html", grid=GeoBox(grid.shape, grid.affine, PLAIN_METRES)), PHONE)
    one.page.get_by_text("Summary and quality").first.click()
    assert "CS[" not in one.page.locator("body").inner_text()
    assert one.page.evaluate("(() => { const tab = document.querySelector('.summary'); return tab.scrollWidth - tab.clientWidth; })()") == 0  # fmt: skip
