"""A date of radar: smooth water is dark. Two dates of radar are compared by what they measure, band by band."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from deepnets4eo.arrays import FloatImage, Mask
from deepnets4eo.floods.radar import (
    FilteredRadar,
    RadarOptions,
    RadarStatistics,
    compare_radar,
    filter_radar,
    find_change_threshold,
)
from deepnets4eo.floods.thresholds import WaterThreshold
from deepnets4eo.floods.units import RadarImage, check_radar_pair, level_shift_db, to_power, two_tracks
from deepnets4eo.floods.water_date import NewWater, Recognised, Sample, Tile, WaterDate, WaterSearch
from deepnets4eo.outputs import Finding, Phrase, image_of, iso_day
from deepnets4eo.rasters import Layer, RadarUnit

MIN_LEVEL_DB = 3.0  # of all ground alike: a pixel that falls by this much counts as flooded
MAX_UNNAMED_BANDS = 2  # of floats without names that are taken as polarisations


@dataclass(frozen=True)
class RadarDate(WaterDate):
    """Water by how dark radar shows it.

    Parameters
    ----------
    unit : of the values; before `measure` as the file states it, None if it does not
    looks : polarisation → equivalent number of looks
    change : the threshold of the change vector to POST, if the options need it
    level_db : by how much POST is brighter all over, dB; 0 at POST
    tracks : relative orbits of this date and of POST if they differ
    """

    kind: ClassVar[str] = "radar"
    in_words: ClassVar[str] = "radar"
    expects: ClassVar[str] = "radar (VV, VH, HH, HV)"
    side_looking: ClassVar[bool] = True

    unit: RadarUnit | None = None
    looks: dict[str, float] = field(default_factory=dict)
    change: WaterThreshold | None = None
    level_db: float = 0.0
    tracks: tuple[int, ...] = ()

    @classmethod
    def recognise(cls, layer: Layer, sensor: str) -> Recognised | None:
        seen = layer.sensor
        polarised = {} if sensor == "optical" else seen.polarised
        may_be_radar = len(seen.image_bands) <= MAX_UNNAMED_BANDS and layer.dtype.kind == "f" and seen.may_be_radar
        if not (sensor == "radar" or (sensor == "auto" and (polarised or may_be_radar))):
            return None
        bands = [*polarised.values()] or seen.image_bands
        image = layer.subset(bands)
        names = [*polarised] or [name.strip().casefold() for name in image.band_names]
        return Recognised(image.with_names(names), cls(tuple(names), unit=seen.radar_unit(bands)))

    def measure(self, sample: Sample, search: WaterSearch) -> RadarDate:
        image = self._image(sample)
        date = replace(self, bands=tuple(image.bands), unit=image.unit())
        measured = date._filter(sample.values, sample.valid, search.options, None).statistics
        return replace(date, looks=measured.looks, thresholds=measured.thresholds)

    def measure_with(self, sample: Sample, post: WaterDate, post_sample: Sample, search: WaterSearch) -> RadarDate:
        if not isinstance(post, RadarDate):
            return self
        images = self._image(sample), post._image(post_sample)
        check_radar_pair(*images)
        levelled = replace(self, level_db=level_shift_db(*images), tracks=two_tracks(*images))
        if not search.options.by_change_vector:
            return levelled
        seen = sample.valid & post_sample.valid
        before, after = (
            date._filter(read.values, seen, search.options, date._statistics)
            for date, read in ((self, sample), (post, post_sample))
        )
        return replace(levelled, change=find_change_threshold(before, after, search.options.method))

    def water(self, tile: Tile) -> FloatImage:
        return self._filtered(tile).water_probability()

    def new_since(self, before: WaterDate, earlier: Tile, tile: Tile) -> NewWater:
        """Compare what two dates of radar measure; other dates by their water."""
        if not isinstance(before, RadarDate):
            return super().new_since(before, earlier, tile)
        mapped = compare_radar(before._filtered(earlier), self._filtered(tile), tile.search.options)
        return NewWater(mapped.classes, mapped.probability)

    def findings(self, role: str) -> list[Finding]:
        findings = list[Finding]()
        if self.tracks:
            before, after = (Finding.verbatim(track) for track in self.tracks)
            numbers: dict[str, Any] = {"image": image_of(role), "before": before, "after": after}
            findings.append(Finding("radar_tracks_differ", "caution", numbers))
        if abs(self.level_db) < MIN_LEVEL_DB:
            return findings
        direction = "brighter_all_over" if self.level_db > 0 else "darker_all_over"
        values: dict[str, Any] = {
            "image": image_of(role),
            "shift": abs(self.level_db),
            "direction": Phrase(direction),
        }
        return [*findings, Finding("radar_levels_differ", "caution", values)]

    def without_modes(self) -> Phrase:
        return Phrase("no_water_mapped")

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"change": self.change and self.change.to_dict()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WaterDate:
        change = values["change"] and WaterThreshold.from_dict(values["change"])
        return super().from_dict({**values, "change": change, "tracks": tuple(values["tracks"])})

    @property
    def _statistics(self) -> RadarStatistics:
        return RadarStatistics(self.looks, self.thresholds, self.change)

    def _filtered(self, tile: Tile) -> FilteredRadar:
        """Return the tile without speckle, computed once for all dates before."""
        return tile.once(lambda: self._filter(tile.values, tile.seen, tile.search.options, self._statistics))

    def _filter(
        self, values: FloatImage, seen: Mask, options: RadarOptions, statistics: RadarStatistics | None
    ) -> FilteredRadar:
        """Bands (C, h, w) as power without speckle; what noise removal left below zero is zero."""
        assert self.unit is not None
        power = np.maximum(to_power(values, self.unit), 0)
        power[:, ~seen] = np.nan
        return filter_radar(dict(zip(self.bands, power, strict=True)), options, statistics)

    def _image(self, sample: Sample) -> RadarImage:
        """Return the sample with what the file states."""
        layer = sample.layer
        day = iso_day(sample.day) if sample.day is not None else layer.acquired and layer.acquired[1]
        values = np.where(sample.valid, sample.values, np.float32(np.nan))
        bands = dict(zip(layer.band_names, values, strict=True))
        return RadarImage(layer.source, bands, layer.tags, day, self.unit)
