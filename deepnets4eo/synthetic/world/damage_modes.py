"""How buildings fail: names and codes of the modes of damage, and what a view from above can show of each.

Grades follow the crosswalk of damage scales (xBD's joint scale, EMS-98, Copernicus): 0 none, 1 minor, 2 major,
3 destroyed. Damage to walls (EMS-98 grades 2–3) and storeys that fail below a whole roof are hardly seen from above.
"""

from __future__ import annotations

import numpy as np

NAMES = (
    "whole",
    "covering",  # covering gone in patches: boards or underlay show
    "tarped",  # the same, under tarps
    "cracked",  # walls and windows only
    "edges",  # parapets, gables and outer walls fell: ragged edges, heaps below
    "scorched",  # burnt at one side
    "holed",  # a few holes
    "water_near",  # water or mud at a part of the walls
    "opened",  # covering and boards gone on a part: rafters, rooms
    "partial",  # one side collapsed to rubble
    "peeled",  # sheets gone in strips: purlins and the dark inside show
    "leaning",  # the building leans: roof displaced and sloping
    "water_around",  # water or mud all around
    "pancake",  # floors on each other: the roof lies low, mostly whole
    "soft_storey",  # the ground storey gave way below a whole roof
    "rubble",  # a heap
    "rooms",  # walls without a roof
    "slab",  # swept foundation
    "burnt",  # dark shell with standing walls
    "ash",  # pale ash within low walls
    "buried",  # under mud
    "submerged",  # water up to the eaves or over the roof
    "frame",  # steel frame without sheets
)
MODE = {name: code for code, name in enumerate(NAMES)}

# Grade that can be seen from above at most.
_MOST_VISIBLE = {"cracked": 0, "soft_storey": 1, "leaning": 2}
MOST_VISIBLE = np.array([_MOST_VISIBLE.get(name, 3) for name in NAMES], np.uint8)

# Modes that leave no roof.
NO_ROOF = np.isin(NAMES, ("rubble", "rooms", "slab", "burnt", "ash", "frame", "buried"))
# Debris that a mode leaves on the ground around, relative to a heap of rubble.
_DEBRIS = {
    "covering": 0.04, "tarped": 0.03, "edges": 0.2, "holed": 0.06, "opened": 0.3, "partial": 0.45, "peeled": 0.15,
    "leaning": 0.15, "pancake": 0.4, "soft_storey": 0.05, "rubble": 1.0, "rooms": 0.55, "slab": 0.5, "burnt": 0.12,
    "ash": 0.2, "frame": 0.3,
}  # fmt: skip
DEBRIS = np.array([_DEBRIS.get(name, 0.0) for name in NAMES], np.float32)

# Display colours of pieces by construction: masonry, concrete, wood, tin, earth, steel; three each.
PIECES = np.array(
    [
        [(150, 118, 100, 140), (176, 154, 136, 168), (130, 96, 78, 122)],
        [(158, 153, 146, 158), (176, 171, 162, 175), (128, 124, 118, 128)],
        [(172, 138, 112, 166), (132, 106, 90, 128), (192, 178, 164, 188)],
        [(154, 152, 148, 154), (138, 120, 106, 132), (176, 175, 172, 175)],
        [(158, 138, 114, 150), (140, 120, 98, 134), (124, 106, 88, 120)],
        [(150, 149, 147, 150), (130, 126, 120, 130), (172, 172, 170, 172)],
    ],
    np.float32,
)
