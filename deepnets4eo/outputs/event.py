"""Facts of a map: event, place, dates and sensors, credit and producer; refuses invalid dates or dates in wrong order.

Facts that the user leaves out are taken from the tags of the files, with a finding. They change no result.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from deepnets4eo.addresses import file_name_of
from deepnets4eo.errors import InputError, name_hint
from deepnets4eo.files import read_yaml
from deepnets4eo.outputs.findings import Finding
from deepnets4eo.outputs.wording import Phrase, Verbatim

if TYPE_CHECKING:
    from deepnets4eo.rasters import Layer

FILE_SUFFIXES = (".yaml", ".yml", ".json")
LONGEST = 1000  # characters; these texts are titles and lines of a caption
FILE_NAME = "name"  # in place of a tag, for a day in the name of a file
DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?")
# Beginnings of words for hazards, as patterns; accents do not count.
STORMS = ("hurricane", "cyclone", "typhoo?n", "medicane", "tropical storm", "storm (?:surge|tide)", "monsoon", "hurac", "ouragan", "cicl", "tifon", "furac",
          "tufao", "wirbelsturm", "taifun", "zyklon", "monzon", "moncao", "mousson", "marejada", "ressaca", "إعصار", "أعاصير")  # of water and of wind  # fmt: skip
FLOODS = (*STORMS, "flood", "tsunami", "tidal wave", "lahar", "cloudburst", "glacial lake outburst", r"glof\b", "inundat", "inundac", "inondation",
          "(?:dam|dike|dyke|levee) (?:break|breach|burst|fail|collapse|explosion|blast|bomb|destruction)", "rupture de (?:barrage|digue)",
          "rotura de (?:la )?presa", "rompimento d[ae] barragem", "tromba d", r"crues?\b", "submersion", "raz.de.maree", "maremoto", "riada", "crecida",
          "enchente", "cheia", "hochwasser", "uberschwemmung", "alluvion", "banjir", "فيضان", "سيول", "تسونامي", "انهيار سد")  # fmt: skip
QUAKES = (r"\w*quake", "aftershock", r"tremors?\b", "temblor", "seism", "sism", "tremblement de terre", "tremor de terra", "terremoto", "terramoto",
          "erdbeben", "deprem", "gempa", "زلزال", "زلازل", "هزة أرضية", "هزات أرضية")  # fmt: skip
TORNADOES = ("tornado", "tornade", r"twisters?\b", "torbellino")
FIRES = (r"(?:wild|bush|brush|grass)?fires?\b", "firestorm", "incend", r"feux?\b", r"fuegos?\b", r"fogos?\b", "queimada", "waldbrand", "حريق", "حرائق")  # fmt: skip
ERUPTIONS = ("volcan", "vulcao", "vulcoe", "vulkan", "erupt", "erupc", r"lava\b", "بركان", "براكين", "ثوران")
BLASTS = (r"blasts?\b", "explos", "detonat", "detonac", "bomb(?:ing|ard)", "shelling", "air ?strike", "mis+il", "drone (?:strike|attack)", "pilonnage",
          "انفجار", "قصف", "غارة", "غارات")  # fmt: skip
DRY_HAZARDS = (*QUAKES, *TORNADOES, *FIRES, *ERUPTIONS, *BLASTS)
WINDS = (*STORMS, *TORNADOES, r"(?!rain)\w*storm", r"winds?\b", r"gales?\b", "downburst", "microburst", "waterspout", "haboob", "nor.?easter", "blizzard",
         "derecho", "tempest", "tempete", "temporal", "torment", "vendaval", "sturm", "orkan", "عاصفة", "عواصف")  # fmt: skip
# Hazards that change nothing in the decision; water comes with some of them.
OTHERS = ("(?:land|mud|rock)[ -]?slide", "mud ?flow", "debris flow", "rock ?fall", "avalanch", "deslizamiento", "deslave", "derrumbe", "glissement",
          "eboulement", "coulees? de boue", "deslizamento", "desabamento", "subsidence", "sinkhole", "collapse", "rainstorm", r"hail(?:storm)?s?\b",
          "conflict", "conflit", r"wars?\b", "guerr", "attack", "attaque", "ataque", "انهيار", "انزلاق", "حرب", "نزاع", "صراع", "هجوم")  # fmt: skip
SENSOR_TAGS = ("SATELLITEID", "SATELLITE", "SENSOR")
KEYS = {"name": "event", "location": "place"}  # in products where fields stand by themselves


class EventTexts:
    """Base of event descriptions: four required texts and the fields in LABELS."""

    LABELS: ClassVar[Mapping[str, str]]  # field → what it is called, in the order of products

    name: str
    location: str
    credit: str
    producer: str

    @classmethod
    def keys(cls) -> dict[str, str]:
        """Return the user's name of each field → the field."""
        return {"place" if name == "location" else name: name for name in cls.LABELS}

    @classmethod
    def parse(cls, texts: Sequence[str]) -> Self:
        """Parse texts KEY=VALUE and files of such keys (YAML, JSON); a later value takes precedence. Errors: InputError."""
        values: dict[str, str] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            if Path(text).suffix.lower() in FILE_SUFFIXES and (not equals or Path(text).is_file()):
                read = read_yaml(text)
                if not isinstance(read, dict):
                    raise InputError(f"{text} has no keys; expected a line such as `name: Flood`. Write some.")
                values |= cls._fields(read, text)
            elif equals:
                values |= cls._fields({key: value}, f"--event {text}")
            else:
                raise InputError(
                    f"--event {text} is neither KEY=VALUE, such as name=Flood, nor a YAML or JSON file of such keys. "
                    f"The keys are {', '.join(cls.keys())}."
                )
        return cls(**values)

    @classmethod
    def _fields(cls, values: Mapping[str, Any], where: str) -> dict[str, str]:
        """Field → text; a day that YAML has read as a date becomes text again. Errors: InputError for an unknown key."""
        keys = cls.keys()
        for key in values:
            if key not in keys:
                raise InputError(f"{where}: unknown key {key!r}. {name_hint(key, keys)}")
        texts = {name: value.isoformat() if isinstance(value, date) else value for name, value in values.items()}
        return {keys[name]: text for name, text in texts.items() if text is not None}

    def __post_init__(self) -> None:
        for name in self.LABELS:
            value = getattr(self, name)
            if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST:
                raise InputError(
                    f"{name} is {str(value)[:60]!r}, expected one line of text of at most {LONGEST} characters."
                )

    def title(self, subject: str) -> str:
        """Return the title of a map, without the dates. subject : what is mapped."""
        known = ", ".join(text for text in (self.name, self.location) if text)
        return f"{subject}: {known}" if known else subject

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Return the known facts as pairs of a label and a value."""
        return [(label, getattr(self, name)) for name, label in self.LABELS.items() if getattr(self, name)]

    @property
    def lines(self) -> list[str]:
        """Return the known facts as "Label: value"."""
        return [f"{label}: {value}" for label, value in self.facts]

    @property
    def columns(self) -> dict[str, str]:
        """Return the known facts by table column: event, place, credit, producer, and the other fields by their own names."""
        return {KEYS.get(name, name): getattr(self, name) for name in self.LABELS if getattr(self, name)}

    def columns_of_rows(self, *, synthetic: bool) -> dict[str, str]:
        """Return `columns` and `synthetic` for every row of a table, which stores them nowhere else."""
        return self.columns | ({"synthetic": "SYNTHETIC"} if synthetic else {})

    @property
    def tags(self) -> dict[str, str]:
        """Return the known facts as tags of a raster: EVENT, PLACE and so on."""
        return {name.upper(): value for name, value in self.columns.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; None for unknown values."""
        return {"place" if name == "location" else name: getattr(self, name) or None for name in self.LABELS}


@dataclass(frozen=True)
class EventInfo(EventTexts):
    """Facts of the event that a map of two dates shows, written into every product.

    Errors: InputError (a date is invalid, the date before is later than the date after, or a text is too long or has control
    characters).

    Parameters
    ----------
    name : the event, such as "Tornado"
    location : its place; `place` in the products
    date_pre, date_post
        Dates of the images or heights: ISO 8601, a day or a day with time, such as "2011-05-22" or "2011-05-22T17:41Z".
    sensor_pre, sensor_post : sensors of the images or heights
    credit : source that the images or outlines are credited to
    producer : who made the map
    from_files : field → the tag, or "name", and the file it was taken from, for fields that the user did not give

    Examples
    --------
    >>> event = EventInfo(name="Tornado", location="Joplin", date_post="2011-05-29")
    >>> event.title("Building damage")
    'Building damage: Tornado, Joplin'
    """

    LABELS: ClassVar[Mapping[str, str]] = {
        "name": "Event",
        "location": "Place",
        "date_pre": "Date before",
        "date_post": "Date after",
        "sensor_pre": "Sensor before",
        "sensor_post": "Sensor after",
        "credit": "Credit",
        "producer": "Producer",
    }

    name: str = ""
    location: str = ""
    date_pre: str = ""
    date_post: str = ""
    sensor_pre: str = ""
    sensor_post: str = ""
    credit: str = ""
    producer: str = ""
    from_files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("date_pre", "date_post"):
            if (value := getattr(self, name)) and iso_day(value) is None:
                raise InputError(f"{name} is {value!r}, expected a date such as 2011-05-22 or 2011-05-22T17:41Z.")
        if self.has_reversed_dates and not {"date_pre", "date_post"} & set(self.from_files):
            raise InputError(
                f"date_pre is {self.date_pre}, later than date_post, which is {self.date_post}. Swap the dates, or PRE and POST."
            )

    @property
    def has_reversed_dates(self) -> bool:
        """Return whether both dates are known and the date before is the later one; by their times if both state their zone."""
        pre, post = iso_time(self.date_pre), iso_time(self.date_post)
        if pre is None or post is None:
            return False
        if pre.tzinfo is not None and post.tzinfo is not None:
            return pre > post
        return pre.date() > post.date()

    @property
    def is_flood(self) -> bool | None:
        """Return whether the event is a flood, by the words of its name; None if the words do not decide."""
        return True if self._is_named(FLOODS) else False if self._is_named(DRY_HAZARDS) else None

    @property
    def is_only_flood(self) -> bool | None:
        """Return whether the event is a flood without wind; None for storms as well, whose damage may be only by wind."""
        return None if self.is_flood and self.is_wind else self.is_flood

    @property
    def is_wind(self) -> bool:
        """Return whether the words of its name mean wind; hurricanes and other storms are floods and wind."""
        return self._is_named(WINDS)

    @property
    def names_hazard(self) -> bool:
        """Return whether the name has a word for a hazard."""
        return self._is_named((*FLOODS, *DRY_HAZARDS, *WINDS, *OTHERS))

    @property
    def hazard_advice(self) -> Phrase | None:
        """Return the advice to name the hazard; None if the event names one."""
        return None if self.names_hazard else Phrase("name_the_hazard")

    def count_advice(self, share: tuple[float, float], look: Phrase) -> dict[str, Phrase | float | None]:
        """Return what the advice on a number of damaged buildings that is not known names.

        share : interval of the damaged share; look : how many buildings to look at

        The name of the hazard is not among it: on maps whose interval is too wide, it does not narrow it (three places, 2026-11-30).
        """
        middle = sum(share) / 2
        neighbours = Phrase("graded_neighbours") if self.is_earthquake else None
        return {"neighbours": neighbours, "look": look, "share": middle, "percent": 100 * middle}

    @property
    def hazard_findings(self) -> tuple[Finding, ...]:
        """Return the note that the name has no word for a hazard; none without a name."""
        if not self.name or self.names_hazard:
            return ()
        return (Finding("no_hazard_word", "note", {"name": Verbatim(self.name), "hazard": Phrase("name_the_hazard")}),)

    @property
    def is_earthquake(self) -> bool:
        """Return whether the words of its name mean an earthquake."""
        return self._is_named(QUAKES)

    def _is_named(self, beginnings: Sequence[str]) -> bool:
        """Return whether a word of the name, also behind the Arabic article, begins like one of these, whatever its accents."""
        words = _plain_letters("|".join(beginnings))
        return bool(re.search(rf"\b(?:ال)?(?:{words})", _plain_letters(self.name.casefold())))

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Return the known facts as pairs of a label and a value; a value from a file has its tag and file."""
        origins = {self.LABELS[name]: f" (from {source})" for name, source in self.from_files.items()}
        return [(label, value + origins.get(label, "")) for label, value in super().facts]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; None for unknown values."""
        return super().to_dict() | {"from_files": dict(self.from_files)}

    def with_tags(self, pre: Layer | None, post: Layer | None) -> EventInfo:
        """Return the event with missing dates and sensors taken from the tags of the files, and dates also from their names."""
        values: dict[str, str] = {}
        sources: dict[str, str] = {}
        for role, layer in (("pre", pre), ("post", post)):
            for name, find in ((f"date_{role}", _day_of), (f"sensor_{role}", _sensor_of)):
                tag = None if layer is None or getattr(self, name) else find(layer)
                if tag is not None and layer is not None:
                    values[name] = tag[1]
                    sources[name] = f"{tag[0]} of {file_name_of(layer.source)}"
        return replace(self, **values, from_files={**self.from_files, **sources})

    def findings(self) -> tuple[Finding, ...]:
        """Return a note if a date was taken from a tag or name; a caution if the date before is the later one."""
        if self.has_reversed_dates:
            before, after = (self._date_phrase(name) for name in ("date_pre", "date_post"))
            return (Finding("dates_reversed", "caution", {"before": before, "after": after}),)
        taken = [self._date_phrase(name) for name in ("date_pre", "date_post") if name in self.from_files]
        return (Finding("dates_from_tags", "note", {"dates": taken}),) if taken else ()

    def _date_phrase(self, name: str) -> Phrase:
        """Return a date, with the tag and file, or the file's name, that it was taken from."""
        date, (tag, _, file) = getattr(self, name), self.from_files.get(name, "").partition(" of ")
        values = {"date": Verbatim(date), "tag": Verbatim(tag), "file": Verbatim(file)}
        return Phrase("date_of_name" if tag == FILE_NAME else "date_of_tag" if tag else "date_as_given", values)


@dataclass(frozen=True)
class SeriesEvent(EventTexts):
    """Facts of the event that a map of a series of dates shows, written into every product. The series has the dates.

    Errors: InputError (a text is too long or has control characters).

    Parameters
    ----------
    name, location : event, and its place
    sensor : sensor of the images
    credit, producer : source that the images are credited to, and who made the map

    Examples
    --------
    >>> SeriesEvent(name="Wildfire", sensor="Sentinel-2").lines
    ['Event: Wildfire', 'Sensor: Sentinel-2']
    """

    LABELS: ClassVar[Mapping[str, str]] = {
        "name": "Event",
        "location": "Place",
        "sensor": "Sensor",
        "credit": "Credit",
        "producer": "Producer",
    }

    name: str = ""
    location: str = ""
    sensor: str = ""
    credit: str = ""
    producer: str = ""


def _plain_letters(text: str) -> str:
    """Return a text without the accents of its letters."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def iso_day(text: str) -> date | None:
    """Return the day of an ISO date, None for other text."""
    time = iso_time(text)
    return None if time is None else time.date()


def iso_time(text: str) -> datetime | None:
    """Return the time of an ISO date, midnight if it has no time; None for other text."""
    if not DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None


def _day_of(layer: Layer) -> tuple[str, str] | None:
    """Return the day of an image as YYYY-MM-DD, after what states it: a tag, else the file's name, else the tag of the day of writing."""
    named = layer.named_day
    stated = layer.acquired or (None if named is None else (FILE_NAME, named)) or layer.written
    return None if stated is None else (stated[0], stated[1].isoformat())


def _sensor_of(layer: Layer) -> tuple[str, str] | None:
    """Return the tag with the sensor of an image, and its value if it can be printed in one line."""
    known = {key.upper(): (key, value.strip()) for key, value in layer.tags.items()}
    stated = (known[name] for name in SENSOR_TAGS if name in known)
    return next((tag for tag in stated if tag[1] and tag[1].isprintable() and len(tag[1]) <= LONGEST), None)
