"""The first lines of every page: one number with its interval as a bar, what it counts, and what the map cannot know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deepnets4eo.outputs.wording import Language, Phrase

if TYPE_CHECKING:
    from deepnets4eo.outputs.quantity import Quantity


@dataclass(frozen=True)
class IntervalBar:
    """An interval within the whole that it is a part of.

    Attributes
    ----------
    low, high : ends of the interval, of the unit of `whole`
    whole : right end of the bar, > 0; the left end is 0
    value : the stated number; None if only the interval is stated
    ends : texts of both ends of the bar
    words : the interval in words
    """

    low: float
    high: float
    whole: float
    value: float | None
    ends: tuple[str, str]
    words: str


@dataclass(frozen=True)
class Headline:
    """The result of a map as the first lines of its page.

    Attributes
    ----------
    number : the number, with its unit; words if it is not known
    sentence : the words that follow the number and make one sentence with it
    limit : what the map cannot know, in one line; "" if nothing limits it
    bar : interval of the number; None if it is not known
    stated : codes of the findings whose message these lines state, so that the page only repeats their remedy
    """

    number: str
    sentence: str
    limit: str = ""
    bar: IntervalBar | None = None
    stated: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the page."""
        return asdict(self)


def bar_of(quantity: Quantity, whole: Quantity, language: Language = "en") -> IntervalBar | None:
    """Return the bar of a quantity, None without an interval or a whole.

    Parameters
    ----------
    quantity, whole : of one unit
    language : of the words and numbers
    """
    if quantity.interval is None or not whole.value:
        return None
    low, high = quantity.interval
    words = Phrase("range_of_area", {"ends": Phrase.verbatim(quantity.interval_text(language))})
    return IntervalBar(
        low, high, max(whole.value, high), quantity.value, ("0", whole.value_text(language)), words.text(language)
    )
