"""Where pixels of the map page lie on the earth: as PROJ says, on both sides of the 180th meridian too."""

import numpy as np
import pyproj
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from deepnets4eo.outputs.map_page.page import frame_of, objects_box
from deepnets4eo.rasters.plane_crs import PLAIN_METRES, PLANE

SIDE_PX = 4000


def grid_around(epsg: int, lon: float, lat: float, gsd: float = 0.5) -> GeoBox:
    """A grid whose middle lies at this place; gsd : in units of the CRS."""
    x, y = (lon, lat) if epsg == 4326 else pyproj.Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    half = SIDE_PX * gsd / 2
    return GeoBox((SIDE_PX, SIDE_PX), Affine(gsd, 0, x - half, 0, -gsd, y + half), f"EPSG:{epsg}")


@pytest.mark.parametrize(
    "grid",
    [
        grid_around(32701, -180.0, -16.8),
        grid_around(32760, 180.0, -16.8),
        grid_around(32760, 179.999, 0.0),
        grid_around(4326, 180.0, 66.5, 5e-6),
        grid_around(4326, 0.0, 0.0, 0.04),
        grid_around(32633, 15.6, 78.2),
        grid_around(32615, -94.5, 37.05),
    ],
    ids=["Fiji in zone 1", "Fiji in zone 60", "beside 180", "degrees past 180", "half the earth", "Svalbard", "Joplin"],
)
def test_pixels_lie_where_proj_says(grid: GeoBox) -> None:
    cols, rows = (axis.ravel() for axis in np.meshgrid(*[np.linspace(0, SIDE_PX, 21)] * 2))
    u, v = cols / SIDE_PX, rows / SIDE_PX
    fit = np.array(frame_of(grid)["lonlat"])
    lon, lat = fit @ np.stack([np.ones_like(u), u, v, u * u, u * v, v * v])
    true_lon, true_lat = pyproj.Transformer.from_crs(grid.crs.proj, 4326, always_xy=True).transform(
        *(grid.affine * (cols, rows))
    )
    apart = (lon - true_lon + 180) % 360 - 180
    assert np.abs(apart * np.cos(np.radians(true_lat))).max() < 2e-7, "two centimetres"
    assert np.abs(lat - true_lat).max() < 2e-7
    assert np.ptp(lon) < 170, "on past 180"


def test_the_box_of_objects_is_that_of_what_the_image_shows_of_them() -> None:
    grid = GeoBox((40, 60), Affine(2, 0, 100, 0, -2, 500), "EPSG:32631")  # 100–220 by 420–500

    def box(*shapes: tuple[float, float, float, float]) -> list[float] | None:
        return objects_box(shapely.box(*np.array(shapes, float).T), grid)

    assert box((110, 480, 120, 490), (150, 440, 160, 450)) == [5, 5, 30, 30]
    assert box((90, 490, 110, 510), (210, 410, 230, 430)) == [0, 0, 60, 40]  # cut at the edges
    beside = [
        (80, 450, 100, 460),
        (220, 450, 230, 460),
        (150, 400, 160, 420),
        (150, 500, 160, 510),
    ]  # they touch it alone
    assert box(*beside) is None
    assert box(*beside, (110, 480, 120, 490)) == [5, 5, 10, 10]


def test_a_crs_is_named_in_few_words_on_a_page():
    named = frame_of(GeoBox((4, 4), Affine(1, 0, 500_000, 0, -1, 4_000_000), "EPSG:32633"))
    assert named["crs"] == "EPSG:32633"
    plane = frame_of(GeoBox((4, 4), Affine(1, 0, 0, 0, -1, 0), PLAIN_METRES))
    assert (plane["crs"], plane["north"]) == (PLANE, None)
    own = frame_of(GeoBox((4, 4), Affine(1, 0, 0, 0, -1, 0), "+proj=tmerc +lat_0=40 +lon_0=10 +ellps=GRS80 +units=m"))
    assert "tmerc" in own["crs"].lower() or "Transverse Mercator" in own["crs"]
