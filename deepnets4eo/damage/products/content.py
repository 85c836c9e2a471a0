"""Content of a damage map, for the writers of its products; refuses tables whose columns do not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from deepnets4eo.damage.table.vocabulary import GRADES, MANY_UNKNOWN, SUBJECT, is_wide, look_at
from deepnets4eo.errors import InputError
from deepnets4eo.outputs import EventInfo, Finding, Headline, IntervalBar, Language, Phrase, number_text

if TYPE_CHECKING:
    import geopandas as gpd

    from deepnets4eo.damage.table.buildings import Buildings

UNKNOWN_COUNT = (
    "The images do not show how many of {} assessed buildings have major damage or worse: {}–{} are possible (95 %)"
)

FURTHER = {  # format → its file, where buildings have a longitude and latitude
    "csv": "damage.csv",
    "geojson": "damage.geojson",
    "kml": "damage.kml",
    "pmtiles": "damage.pmtiles",
    "mbtiles": "damage.mbtiles",
    "cems": "damage_cems.gpkg",
    "unosat": "damage_unosat.gpkg",
    "xbd": "damage_xbd.json",
    "osm": "damage_osm.geojson",
    "pdf": "sheet.pdf",
    "png": "sheet.png",
    "stac": "item.json",  # the last, since it has the checksums of the others
}
AREAS_FILE = "areas.csv"  # where areas were counted
USUAL = ("csv", "geojson", "kml")  # of these, where none are chosen
# The sentence on their number; a test holds that every language has it.
CLASSIFIED, CLASSIFIED_ONE = (
    "{} of {} assessed buildings classified as major damage or worse",
    "{} of {} assessed building classified as major damage or worse",
)
TRUE_NUMBER = "true number {}–{} (95 %)"
NOT_KNOWN = "{} of {} outlines not known"
SUMS = ("structure", "together")  # of `inundation`: of grades, and not stated if these are not
WITHHELD = "withheld"  # the parameter in the manifest that keeps them until the number of damaged buildings is known
FEW = 0.05  # share of classified buildings up to which an event without a name may be of another kind than the map supposes
NONE_ASSESSED = "No building could be assessed."
OF_AFTER = "destroyed buildings, which the image after the event no longer shows, are not counted"


@dataclass
class DamageMapContent:
    """The fields of a `DamageMap`, and their checks. water_file : name of the raster of new water, if the job found it"""

    water_file: ClassVar[str] = "water.tif"

    buildings: gpd.GeoDataFrame
    assessed_extent: gpd.GeoDataFrame
    registration: dict[str, Any] = field(default_factory=dict)
    meaning: dict[str, str] = field(default_factory=dict)
    synthetic: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    damaged_share: dict[str, Any] = field(default_factory=dict)
    estimates: dict[str, Any] = field(default_factory=dict)
    footprints: dict[str, Any] = field(default_factory=dict)
    extent_without_outlines: gpd.GeoDataFrame | None = None
    event: EventInfo = field(default_factory=EventInfo)
    inundation: dict[str, Any] = field(default_factory=dict)
    areas: gpd.GeoDataFrame | None = None
    priors: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.table.check()
        for name in ("assessed_extent", "extent_without_outlines"):
            extent = getattr(self, name)
            if extent is not None and len(extent) != 1:
                raise InputError(f"{name} has {len(extent)} rows, expected 1. Dissolve it first.")

    @property
    def table(self) -> Buildings:
        """The buildings with what their columns mean."""
        from deepnets4eo.damage.table.buildings import Buildings  # pandas, which the help of verbs does not load

        return Buildings(self.buildings, self.meaning)

    @property
    def title(self) -> str:
        """Return what is mapped, and the event."""
        return self.event.title(SUBJECT)

    def headline(self) -> str:
        """Return the result in one line, with advice if the number is not stated."""
        counted = self.count_sentence(str, "{:,.0f}".format)
        wet = self.inundation.get("inundated", 0)
        in_water = f" · {wet:,} {'stands' if wet == 1 else 'stand'} in new water" if wet else ""
        counted = self.after_warning(counted)
        advice = self.advice()
        return f"{counted}{in_water}. {advice}" if advice else f"{counted}{in_water}"

    def advice(self, language: Language = "en") -> str:
        """Return how to learn the number of damaged buildings if the images do not show it, or show few and no hazard is named; else ''."""
        if self.is_open:
            look = look_at(self._counts["assessed"])
            return Phrase("count_not_told.remedy", self.event.count_advice(self._share_interval, look)).text(language)
        return "".join(finding.text(language=language) for finding in self.advice_of_few)

    @property
    def advice_of_few(self) -> list[Finding]:
        """Return the note of the page that an event without a name, with few damaged buildings, may be of another kind than the map supposes."""
        assessed, damaged = self._counts["assessed"], self._counts["damaged"]
        is_few = assessed and damaged <= FEW * assessed and not self.event.names_hazard and not self.is_open
        return [Finding("few_damaged", "note", {"look": look_at(assessed)})] if is_few else []

    def after_warning(self, sentence: str, language: Language = "en") -> str:
        """Return a sentence on the result after the warning that the images do not match, if the image before could not be registered."""
        if self.registration.get("status") != "failed" or not self._counts["assessed"]:
            return sentence
        return f"{Phrase('result_post_only').text(language)} {sentence}"

    def count_sentence(self, say: Callable[[str], str], write_number: Callable[[float], str]) -> str:
        """Return the sentence on the number of damaged buildings that every product has, in the words and numbers of a language."""
        return " · ".join(say(text).format(*map(write_number, numbers)) for text, numbers in self._count_words())

    def page_headline(self, language: Language = "en") -> Headline:
        """Return the first lines of the page: the number of damaged buildings with its interval, and what it does not cover."""
        counts, expected = self._counts, (self.estimates.get("buildings") or {}).get("damaged")
        assessed = counts["assessed"]
        if not assessed:
            return Headline(Phrase("number_unknown").text(language), Phrase("result_none").text(language))
        left_out = [
            *([Phrase("result_left_unassessed", {"number": counts["left"]})] if counts["left"] else []),
            *([Phrase("result_left_destroyed")] if self.lacks_destroyed else []),
            Phrase("result_left_missing"),
            Phrase("result_left_unseen"),
        ]
        limit = self.after_warning(Phrase("result_leaves_out", {"left_out": left_out}).text(language), language)
        number, bar = number_text(counts["damaged"], language), None
        stated: tuple[str, ...] = ()
        if expected is not None:
            low, high = expected["interval_95"]
            ends = {"low": low, "high": high}
            words = Phrase("result_interval", ends).text(language)
            bar = IntervalBar(
                low,
                high,
                max(float(assessed), high),
                None if self.is_open else counts["damaged"],
                ("0", number_text(assessed, language)),
                words,
            )
            if self.is_open:
                number, stated = Phrase("number_range", ends).text(language), ("count_not_told",)
        sentence = Phrase("result_not_told" if stated else "result_counted", counts).text(language)
        return Headline(number, sentence, limit, bar, stated)

    @property
    def _counts(self) -> dict[str, int]:
        """Return how many buildings were assessed, are classified as damaged, and are left without a grade."""
        assessed, damaged = (int(rows.sum()) for rows in (self.table.assessed, self.table.damaged))
        return {"assessed": assessed, "damaged": damaged, "left": len(self.buildings) - assessed}

    def _count_words(self) -> list[tuple[str, tuple[float, ...]]]:
        """Return the parts of that sentence in English, each with its numbers."""
        assessed, damaged = self._counts["assessed"], self._counts["damaged"]
        if not assessed:
            return [(NONE_ASSESSED, ())]
        classified = CLASSIFIED_ONE if assessed == 1 else CLASSIFIED
        expected = (self.estimates.get("buildings") or {}).get("damaged")
        left = self._counts["left"]
        unknown = [(NOT_KNOWN, (left, assessed + left))] if left >= MANY_UNKNOWN * assessed else []
        if self.is_open and expected is not None:
            return [(UNKNOWN_COUNT, (assessed, *expected["interval_95"])), *unknown]
        parts: list[tuple[str, tuple[float, ...]]] = [(classified, (damaged, assessed))]
        if expected is not None:
            parts.append((TRUE_NUMBER, tuple(expected["interval_95"])))
        return [*parts, *unknown, *([(OF_AFTER, ())] if self.lacks_destroyed else [])]

    @property
    def is_open(self) -> bool:
        """Return whether the number of damaged buildings is not stated: its interval is too wide, or the grades contradict it."""
        return is_wide(self._share_interval) or bool(self.damaged_share.get("contradicted"))

    @property
    def open_interval(self) -> tuple[float, float] | None:
        """Return the interval of the damaged share if the number of damaged buildings is not stated, else None."""
        return self._share_interval if self.is_open else None

    @property
    def _share_interval(self) -> tuple[float, float]:
        """The interval of the damaged share; zeros if it was not estimated."""
        low, high = self.damaged_share.get("interval_95") or (0.0, 0.0)
        return low, high

    def withhold_unknown_grades(self) -> None:
        """State no grade of a building that is not certain, and no sum of such grades, if the number of damaged buildings is not stated."""
        if not self.is_open:
            return
        self._withhold_sums_by_water()
        self._replace_buildings(self.table.without_unknown_grades())
        self.estimates = {quantity: rows for quantity, rows in self.estimates.items() if quantity != "confusion"}
        self.findings = tuple(finding for finding in self.findings if finding.code != "minor_not_told")

    def _withhold_sums_by_water(self) -> None:
        """State how many buildings are in new water, and not how many are damaged by structure only or together."""
        sums = {name: self.inundation[name] for name in SUMS if self.inundation.get(name) is not None}
        if not sums:
            return
        self.inundation = self.inundation | dict.fromkeys(sums)
        self.parameters = self.parameters | {WITHHELD: sums}
        self.findings = tuple(
            replace(finding, values={**finding.values, "structure": None}) if "structure" in finding.values else finding
            for finding in self.findings
        )

    def state_likeliest_grades(self) -> None:
        """State the likeliest grade of every building, whatever is known of their number, and the sums of these grades."""
        self._replace_buildings(self.table.with_likeliest_grades())
        self.inundation = self.inundation | self.parameters.get(WITHHELD, {})
        self.parameters = {name: value for name, value in self.parameters.items() if name != WITHHELD}

    def _replace_buildings(self, table: Buildings) -> None:
        import geopandas as gpd

        self.buildings = gpd.GeoDataFrame(table.frame, crs=self.buildings.crs)

    @property
    def lacks_destroyed(self) -> bool:
        """Return whether the outlines come from the image after the event, which no longer shows destroyed buildings."""
        return bool(self.parameters.get("segmenter")) and "status" not in self.registration

    @property
    def known_estimates(self) -> dict[str, Any]:
        """Return the estimates, without the estimates of destroyed buildings if the outlines cannot contain any."""
        if not self.lacks_destroyed:
            return self.estimates
        without = {
            kind: {**rows, GRADES[3]: None} for kind, rows in self.estimates.items() if rows and kind != "confusion"
        }
        return self.estimates | without

    @property
    def evidence(self) -> list[str]:
        """Return the names of the evidence columns and of the columns of priors."""
        return self.table.evidence_names
