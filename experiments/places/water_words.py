"""What `flood` and `damage` say of the water at whole real places, and both states of the toolbox side by side.

Takes the folder of the sample sets; returns one row per place and name of the event, ready for JSON. A row that is in the
file already is not measured again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from script import require_files

from deepnets4eo.damage import Settings, assess
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.files import read_json, write_json
from deepnets4eo.floods import FloodOptions, map_flood
from deepnets4eo.floods.buildings import NOT_KNOWN, YES
from deepnets4eo.outputs import EventInfo

GSD_M, PANEL_GSD_M = 0.5, 0.92  # of the scenes; of panels that were resampled from a figure
PANELS = ("_00000377", "_00000520", "_00000115")
CITIES = ("Adiyaman_Merkez_6", "Kahramanmaras_Merkez_4", "Adiyaman_Merkez_2_NE")
NAMES = {
    "wildfire": "Wildfire",
    "hurricane": "Flood",
    "flood": "Flood",
}  # part of a folder's name → the event named in a second run
Row = dict[str, Any]


@dataclass(frozen=True)
class Visit:
    """A place by its title, and the name of the event, "" if it is not named. gsd_m : side of a pixel, None if the images are georeferenced."""

    title: str
    event: str
    pre: Path
    post: Path
    footprints: Path
    gsd_m: float | None = GSD_M

    @property
    def key(self) -> str:
        """Return the key of its row."""
        return f"{self.title}|{self.event}"

    def row(self) -> Row:
        """Return what both jobs say."""
        return self._damage() | ({} if self.gsd_m is None else self._flood(self.gsd_m))

    def _damage(self) -> Row:
        outlines = None if self.gsd_m is None else "pixels"
        settings = Settings(gsd_m=self.gsd_m, workers=1, footprints_crs=outlines)
        event = EventInfo(name=self.event)
        try:
            mapped = assess(self.pre, self.post, str(self.footprints), settings=settings, event=event)
        except DeepNets4EOError as error:
            return {"error": str(error)}
        rows = mapped.buildings
        water = rows["inundated"].value_counts().to_dict() if "inundated" in rows else {}
        damaged = (mapped.estimates or {}).get("buildings", {}).get("damaged", {})
        return {
            "damage": mapped.headline(), "n": len(rows), "inundated": {name: int(count) for name, count in water.items()},
            "findings": [finding.code for finding in mapped.findings], "interval": damaged.get("interval_95"),
        }  # fmt: skip

    def _flood(self, gsd_m: float) -> Row:
        with TemporaryDirectory() as folder:
            options, event = FloodOptions(gsd_m=gsd_m, workers=1), EventInfo(name=self.event)
            try:
                mapped = map_flood([self.pre], self.post, Path(folder) / "out", options, event=event)
            except DeepNets4EOError as error:
                return {"flood_error": str(error)}
        assert mapped is not None
        return {"flood": mapped.headline(), "flood_findings": [finding.code for finding in mapped.findings]}


def visits(data: Path) -> Iterator[Visit]:
    """Yield every pair of fine optical images at hand, once without a name and, if a flood or fire, once with it."""
    for folder in sorted([*data.glob("events_more/*/"), *data.glob("xbd_more/*/")]):
        pre, post = (next(iter(sorted(folder.glob(f"{date}.*")))) for date in ("pre", "post"))
        gsd_m = PANEL_GSD_M if folder.name.endswith(PANELS) else GSD_M
        for event in ("", *sorted({event for part, event in NAMES.items() if part in folder.name})):
            yield Visit(folder.name, event, pre, post, folder / "footprints_px.geojson", gsd_m)
    cities = data / "turkey_2023"
    for city in CITIES:
        pre, post = (cities / f"{city}_{date}.jpg" for date in ("pre", "post"))
        yield Visit(city, "", pre, post, cities / f"{city}_grades.geojson")
    folder = data / "xbd_midwest"
    yield Visit(folder.name, "", folder / "pre.png", folder / "post.png", folder / "footprints_px.geojson")
    folder = data / "joplin"
    yield Visit(folder.name, "", folder / "pre", folder / "post", folder / "footprints_overlap.geojson", None)


def measure_words(data: Path, path: Path, only: str = "") -> dict[str, Row]:
    """Measure what is not yet in the file, and return all rows. only : part of the names of the places"""
    require_files(data, "xbd_more/*/post.png")
    rows: dict[str, Row] = read_json(path) if path.exists() else {}
    for visit in visits(data):
        if only in visit.title and visit.key not in rows:
            rows[visit.key] = visit.row()
            write_json(path, rows)
            print(visit.key, rows[visit.key].get("flood", ""), flush=True)
    return rows


def words_table(rows: Mapping[str, Row], before: Mapping[str, Row]) -> str:
    """Return one line per place: buildings in water and not known, and the word of the flood job, before → now."""
    text = "| place, event named | buildings in water, not known, of all | flood job |\n|---|---|---|\n"
    for key, row in rows.items():
        states = [row] if key not in before or before[key] == row else [before[key], row]
        cells = (" → ".join(dict.fromkeys(cell(state) for state in states)) for cell in (_in_water, _of_flood))
        text += f"| {key.replace('|', ', ').rstrip(', ')} | {' | '.join(cells)} |\n"
    return text


def _in_water(row: Row) -> str:
    water = row.get("inundated", {})
    if not water:
        return "not sought"
    return f"{water.get(YES, 0)}, {water.get(NOT_KNOWN, 0)}, {row['n']}"


def _of_flood(row: Row) -> str:
    return str(row.get("flood") or row.get("flood_error") or "–")
