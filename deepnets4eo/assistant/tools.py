"""Tools of an assistant: verbs of the command line in their own process, and counts in a finished map."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from deepnets4eo.assistant.folders import Folders
from deepnets4eo.assistant.verb import run_verb
from deepnets4eo.errors import InputError
from deepnets4eo.files import read_json

NOTHING = "-"  # in place of an image before, or of outlines: a network finds the buildings
NAME = re.compile(r"[\w.-]+")  # of a legend that comes with the toolbox
HAZARD = re.compile(r"[^\W\d_][\w '()-]{0,60}")  # words, and no name of a file
EARTH_M = 40_008_000 / 2  # half a meridian: no radius is longer


@dataclass(frozen=True)
class Tools:
    """Tools in the folders of a user. What a verb refuses or finds is returned in its own words."""

    folders: Folders

    def offer(self) -> tuple[Callable[..., Any], ...]:
        """Return the tools that the folders allow: those that write only with a folder to write into."""
        reading = (self.check, self.summary, self.buildings_near, self.evaluate)
        return reading if self.folders.write is None else (*reading, *self.writing())

    def writing(self) -> tuple[Callable[..., Any], ...]:
        """Return the tools that write a map."""
        return (self.damage, self.flood, self.change)

    def check(self, paths: list[str]) -> dict[str, Any]:
        """Describe images, outlines, labels, clouds of points, datasets or runs, and what is wrong with them."""
        return run_verb("check", *self._read(paths))

    def summary(self, folder: str) -> dict[str, Any]:
        """Return summary.json of a finished map of damage, floods or changes: headline, counts with intervals, findings and
        caveats. Findings belong to the numbers: a building that was not assessed is not undamaged."""
        stated = read_json(self.folders.to_read(f"{folder}/summary.json"))
        if not isinstance(stated, dict):
            raise InputError(f"{folder}/summary.json is no summary of a map. Give the folder of a finished map.")
        return stated

    def buildings_near(self, folder: str, longitude: float, latitude: float, radius_m: float) -> dict[str, Any]:
        """Count the buildings of a finished damage map around a point, by grade, with the expected number of damaged ones and its
        95 % interval (damaged, damaged_low, damaged_high). Buildings that are not assessed are counted apart: they are not known to be
        undamaged.

        folder : of the map; longitude, latitude : degrees (WGS 84); radius_m : metres"""
        import geopandas as gpd
        import shapely

        from deepnets4eo.damage import DamageMap

        if not (abs(longitude) <= 180 and abs(latitude) <= 90 and 0 < radius_m <= EARTH_M):
            raise InputError(
                f"longitude {longitude}, latitude {latitude}, radius {radius_m} m are no circle on the Earth. Give degrees and metres."
            )
        damage_map = DamageMap.load(self.folders.to_read(folder))
        if damage_map.buildings.crs is None:
            raise InputError(f"{folder} has no CRS, so no point of the Earth is known in it. Take its summary.")
        plane = f"+proj=aeqd +lat_0={latitude} +lon_0={longitude} +datum=WGS84"
        circle = shapely.Point(0, 0).buffer(radius_m, quad_segs=64)
        damage_map.add_areas(gpd.GeoDataFrame({"name": ["circle"]}, geometry=[circle], crs=plane))
        assert damage_map.areas is not None
        counts: dict[str, Any] = json.loads(damage_map.areas.drop(columns="geometry").to_json(orient="records"))[0]
        unknown = counts["buildings"] - counts["assessed"]
        findings = [finding.whole for finding in damage_map.findings if finding.code != "areas_leave_gaps"]
        return {
            **counts,
            "not_assessed": unknown,
            "headline_of_the_map": damage_map.headline(),
            "findings_of_the_map": findings,
        }

    def evaluate(self, prediction: str, reference: str, legend: str = "") -> dict[str, Any]:
        """Score a label raster, labelled points or heights against a reference.

        legend : name of a legend of the toolbox; '' if the files state theirs"""
        if legend and not NAME.fullmatch(legend):
            raise InputError(f"legend {legend!r} is no name. Give one that `datasets --legends` lists.")
        return run_verb("evaluate", *self._read([prediction, reference]), *(["--legend", legend] if legend else []))

    def damage(self, pre: str, post: str, footprints: str, out: str, hazard: str = "") -> dict[str, Any]:
        """Map building damage from images before and after an event; takes minutes for a town. The user knows the hazard.

        pre : '-' without an image before; footprints : outlines, '-' to find buildings by a network; out : new folder below that
        for writing; hazard : Earthquake, Flood, Hurricane, Tornado, Wildfire …, '' if unknown"""
        if hazard and not HAZARD.fullmatch(hazard):
            raise InputError(
                f"hazard {hazard!r} is no word for one. Give e.g. Earthquake, Flood, Hurricane, Tornado or Wildfire."
            )
        images = [NOTHING if path == NOTHING else str(self.folders.to_read(path)) for path in (pre, post, footprints)]
        event = ["--event", f"name={hazard}"] if hazard else []
        return run_verb("damage", *images, "--out", str(self.folders.to_write(out)), *event)

    def flood(self, dates: list[str], out: str, footprints: str = "") -> dict[str, Any]:
        """Map the flood of the last of two or more images, radar or optical; out : new folder below that for writing."""
        houses = ["--footprints", str(self.folders.to_read(footprints))] if footprints else []
        return run_verb("flood", *self._read(dates), "--out", str(self.folders.to_write(out)), *houses)

    def change(self, pre: str, post: str, out: str) -> dict[str, Any]:
        """Map what changed between two images; out : new folder below that for writing."""
        return run_verb("change", *self._read([pre, post]), "--out", str(self.folders.to_write(out)))

    def _read(self, paths: Sequence[str]) -> list[str]:
        return [str(self.folders.to_read(path)) for path in paths]
