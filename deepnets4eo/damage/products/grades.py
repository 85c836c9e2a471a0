"""The four grades of damage in the order of severity, with the words and colours every product shares.

Colours come from the legend "xbd" (blue, yellow, orange, red: told apart without seeing red or green); not assessed
is grey, since the legend's void colour is a value of masks, not a sign on a map.
"""

from __future__ import annotations

GRADES = ("no-damage", "minor-damage", "major-damage", "destroyed")
DAMAGED = GRADES[2:]  # what damage_prob is the probability of
NOT_ASSESSED = "not-assessed"

_GREY = (140, 140, 140)

TITLES = {
    "no-damage": "No visible damage",
    "minor-damage": "Minor damage",
    "major-damage": "Major damage",
    "destroyed": "Destroyed",
    NOT_ASSESSED: "Not assessed",
}


def colors() -> dict[str, tuple[int, int, int]]:
    """Red, green and blue (0–255) of every grade and of not-assessed."""
    from deepnets4eo.cards.legend import Legend

    legend = Legend.load("xbd")
    found = {NOT_ASSESSED: _GREY}
    for grade in GRADES:
        red, green, blue = legend.classes[legend.index(grade)].color
        found[grade] = (int(red), int(green), int(blue))
    return found
