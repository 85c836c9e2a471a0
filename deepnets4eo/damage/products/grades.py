"""Titles and colours of the four grades of damage, which every product shares.

Colours come from the legend "xbd" (blue, yellow, orange, red: distinct also for colour-blind readers); not assessed
is grey, because the legend's void colour is a value of masks.
"""

from __future__ import annotations

from deepnets4eo.damage.vocabulary import CLASSES, GRADES, UNGRADED

_GREY = (140, 140, 140)

TITLES = dict(
    zip(CLASSES, ("No visible damage", "Minor damage", "Major damage", "Destroyed", "Not assessed"), strict=True)
)


def colors() -> dict[str, tuple[int, int, int]]:
    """Red, green and blue (0–255) of every grade and of buildings without one."""
    from deepnets4eo.cards.legend import Legend

    legend = Legend.load("xbd")
    palette = {UNGRADED: _GREY}
    for grade in GRADES:
        red, green, blue = legend.classes[legend.index(grade)].color
        palette[grade] = (int(red), int(green), int(blue))
    return palette
