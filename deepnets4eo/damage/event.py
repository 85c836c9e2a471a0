"""What a damage map is of: event, place, dates and sensors of both images, credit and producer.

Takes text from the user; refuses dates that are none, or in the wrong order. What the user leaves out is taken from the
images' tags where they carry it, with a finding that names the tag. It shapes no grade.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from deepnets4eo.errors import InputError
from deepnets4eo.outputs.findings import Finding

if TYPE_CHECKING:
    from deepnets4eo.rasters.scene import Layer

EVENT: dict[str, Any] = {"group": "Event"}
LONGEST = 1000  # characters; these texts are titles and lines of a caption
DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?)?")
TAG_DATE = re.compile(r"(\d{4})[-:/]?(\d\d)[-:/]?(\d\d)(?!\d)")
DATE_TAGS = (
    "ACQUISITIONDATETIME",
    "ACQUISITION_DATE",
    "ACQUISITIONDATE",
    "ACQUIRED",
    "EXIF_DATETIMEORIGINAL",
    "TIFFTAG_DATETIME",
)
SENSOR_TAGS = ("SATELLITEID", "SATELLITE", "SENSOR")
LABELS = {
    "name": "Event",
    "location": "Place",
    "date_pre": "Date of the pre image",
    "date_post": "Date of the post image",
    "sensor_pre": "Sensor of the pre image",
    "sensor_post": "Sensor of the post image",
    "credit": "Credit",
    "producer": "Producer",
}
KEYS = {"location": "place"}  # in the products


@dataclass(frozen=True)
class EventInfo:
    """What a damage map is of, written into every product.

    Parameters
    ----------
    name
        The event, such as "Tornado".
    location
        Where it was; `place` in the products.
    date_pre, date_post
        When the images were taken: ISO 8601, a day or a day with time, such as "2011-05-22" or "2011-05-22T17:41Z".
    sensor_pre, sensor_post
        What took them.
    credit
        To whom the images or outlines are credited.
    producer
        Who made the map.
    from_files
        Field to the tag and file it was taken from, for those that the user did not give.

    Raises
    ------
    InputError
        A date is none, the pre image is younger than the post image, or a text is too long or has control characters.

    Examples
    --------
    >>> event = EventInfo(name="Tornado", location="Joplin", date_post="2011-05-29")
    >>> event.title
    'Building damage: Tornado, Joplin'
    """

    name: Annotated[
        str, Field(description="Event, for titles.", json_schema_extra={**EVENT, "flag": "--event-name"})
    ] = ""
    location: Annotated[str, Field(description="Where it was.", json_schema_extra={**EVENT, "flag": "--place"})] = ""
    date_pre: Annotated[
        str, Field(description="When PRE was taken, e.g. 2011-05-20; of its tags by default.", json_schema_extra=EVENT)
    ] = ""
    date_post: Annotated[
        str, Field(description="When POST was taken; of its tags by default.", json_schema_extra=EVENT)
    ] = ""
    sensor_pre: Annotated[str, Field(description="What took PRE.", json_schema_extra=EVENT)] = ""
    sensor_post: Annotated[str, Field(description="What took POST.", json_schema_extra=EVENT)] = ""
    credit: Annotated[str, Field(description="Credit of images and outlines.", json_schema_extra=EVENT)] = ""
    producer: Annotated[str, Field(description="Who makes the map.", json_schema_extra=EVENT)] = ""
    from_files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in LABELS:
            value = getattr(self, name)
            if not isinstance(value, str) or not value.isprintable() or len(value) > LONGEST:
                raise InputError(
                    f"{LABELS[name].lower()} is {str(value)[:60]!r}, expected one line of text of at most {LONGEST} characters."
                )
        for name in ("date_pre", "date_post"):
            if (value := getattr(self, name)) and _day(value) is None:
                raise InputError(
                    f"{LABELS[name].lower()} is {value!r}, expected a date such as 2011-05-22 or 2011-05-22T17:41Z."
                )
        if self.swapped and not {"date_pre", "date_post"} & set(self.from_files):
            raise InputError(
                f"the pre image was taken on {self.date_pre}, after the post image on {self.date_post}. Swap the dates, or PRE "
                "and POST."
            )

    @property
    def swapped(self) -> bool:
        """Whether both dates are known and the pre image is the younger one."""
        pre, post = _day(self.date_pre), _day(self.date_post)
        return pre is not None and post is not None and pre > post

    @property
    def title(self) -> str:
        """Title of the map, without the dates."""
        known = ", ".join(text for text in (self.name, self.location) if text)
        return f"Building damage: {known}" if known else "Building damage map"

    @property
    def lines(self) -> list[str]:
        """What is known as "Label: value", and where it came from if from a file."""
        return [
            f"{label}: {getattr(self, name)}" + (f" (from {self.from_files[name]})" if name in self.from_files else "")
            for name, label in LABELS.items()
            if getattr(self, name)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON; None where not known."""
        values = {KEYS.get(name, name): getattr(self, name) or None for name in LABELS}
        return values | {"from_files": dict(self.from_files)}

    def with_tags(self, pre: Layer | None, post: Layer) -> EventInfo:
        """The same, dates and sensors that are not given taken from the tags of the images' files."""
        values: dict[str, str] = {}
        sources: dict[str, str] = {}
        for role, layer in (("pre", pre), ("post", post)):
            for name, tags in ((f"date_{role}", DATE_TAGS), (f"sensor_{role}", SENSOR_TAGS)):
                tag = None if layer is None or getattr(self, name) else _from_tags(layer.tags, tags)
                if tag is not None and layer is not None:
                    values[name] = tag[1]
                    sources[name] = f"{tag[0]} of {PurePath(layer.source).name}"
        return replace(self, **values, from_files={**self.from_files, **sources})


def event_findings(event: EventInfo) -> tuple[Finding, ...]:
    """A note where a date was taken from a tag; a caution where the pre image seems to be the younger one."""
    if event.swapped:
        dates = "; ".join(line for line in event.lines if line.startswith("Date"))
        return (
            Finding(
                "dates_swapped",
                "caution",
                f"The pre image seems to be younger than the post image ({dates}).",
                "Swap PRE and POST where they are; else give --date-pre and --date-post.",
            ),
        )
    taken = [
        f"{event.from_files[name]}, {getattr(event, name)}"
        for name in ("date_pre", "date_post")
        if name in event.from_files
    ]
    if not taken:
        return ()
    message = "Dates were taken from the images' tags, which may hold the time of processing: " + "; ".join(taken) + "."
    return (Finding("dates_from_tags", "note", message, "Give --date-pre and --date-post where they are wrong."),)


def _day(text: str) -> date | None:
    """The day of an ISO date, None for other text."""
    if not DATE.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).date()
    except ValueError:
        return None


def _from_tags(tags: Mapping[str, str], names: tuple[str, ...]) -> tuple[str, str] | None:
    """The first of the named tags that can be used, and its value; dates as YYYY-MM-DD."""
    known = {key.upper(): (key, value.strip()) for key, value in tags.items()}
    for name in names:
        key, value = known.get(name, ("", ""))
        if names is DATE_TAGS:
            match = TAG_DATE.match(value)
            value = "-".join(match.groups()) if match else ""
            value = value if _day(value) else ""
        elif not value.isprintable() or len(value) > LONGEST:
            value = ""
        if value:
            return key, value
    return None
