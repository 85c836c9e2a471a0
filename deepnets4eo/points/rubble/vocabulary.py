"""The words and codes of rubble: states of a building, their grades of damage, the class code of rubble points."""

from __future__ import annotations

RUBBLE_CLASS = 70  # LAS 1.4 leaves the codes 64-255 to users; IGN has 64-67, so that both fit in one file

STANDING, PARTLY, COLLAPSED, CLEARED = "standing", "partly-collapsed", "collapsed", "cleared"
UNKNOWN = "not-assessed"
STATES = (STANDING, PARTLY, COLLAPSED, CLEARED, UNKNOWN)

# Heights show a roof that has come down, not its covering: standing is at best "no-damage", and no state is "minor-damage".
GRADE_OF_STATE = {
    STANDING: "no-damage",
    PARTLY: "major-damage",
    COLLAPSED: "destroyed",
    CLEARED: "destroyed",
    UNKNOWN: "not-assessed",
}

VEGETATION_CLASSES = (3, 4, 5)
GROUND_CLASSES = (2, 9, 11)  # ground, water, road surface
