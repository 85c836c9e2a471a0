"""Names of bands as files write them, and the wavelengths of Sentinel-2's."""

from __future__ import annotations

CENTRES_NM = {  # centres
    "B01": 443, "B02": 492, "B03": 560, "B04": 665, "B05": 704, "B06": 741, "B07": 783, "B08": 833, "B8A": 865, "B09": 945,
    "B10": 1374, "B11": 1614, "B12": 2202,
}  # fmt: skip
COLOURS = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05", "rededge2": "B06", "rededge3": "B07",
    "nir": "B08", "nearinfrared": "B08", "nir08": "B8A", "nir09": "B09", "cirrus": "B10", "swir16": "B11", "swir22": "B12",
}  # fmt: skip


def name_band(name: str) -> str:
    """The usual name of a band: B1, b01 and coastal are B01; other names in capitals.

    >>> name_band("b1"), name_band("swir22"), name_band("B8A"), name_band("vv")
    ('B01', 'B12', 'B8A', 'VV')
    """
    plain = name.strip().lower().replace("-", "").replace("_", "").replace(" ", "")
    plain = COLOURS.get(plain, plain).upper()
    return f"B0{plain[1:]}" if len(plain) == 2 and plain[0] == "B" and plain[1].isdigit() else plain
