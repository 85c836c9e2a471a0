"""Mud and splinters on lawns: how much of each, by the strength of the event and the textures of the ground (SYNTHETIC)."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deepnets4eo.synthetic import Event
from deepnets4eo.synthetic.damage import CHURN, paint_mud_and_ash
from deepnets4eo.synthetic.materials import CODE
from deepnets4eo.synthetic.surface import CitySurface

TEXTURES = {
    "broad": [0.0, 0.0, 0.0, 0.0, 0.0, 1.6, 1.4, 0.2, -1.5, -1.4],
    "middle": [0.0, 1.0, 0.8, 0.0, 0.0, 0.0, 0.0, 0.4, 1.0, 1.5],
    "fine": [0.0, 0.0, 0.0, 1.0, 0.8, 0.0, 0.0, 0.4, 1.0, 0.5],
}  # one column each
SPLINTERS = [
    False,
    True,
    False,
    True,
    False,
    True,
    False,
    True,
    True,
    True,
]  # half of middle and fine, 0.3 of broad: above 0.45
GREY = 150


class Columns:
    """Textures that are the same in all rows; `rows` collects where they are read."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int]] = []

    def window(self, name: str, row: int, height: int, width: int) -> np.ndarray:
        self.rows.append((name, row, height))
        return np.tile(np.array(TEXTURES[name], np.float32), (height, 1))


def painted(force: float, kind: str = "tornado", height: int = 2) -> tuple[np.ndarray, Columns]:
    """Lawn in the first row and asphalt in the others, all grey, after an event of one strength: (4, H, 10)."""
    surface, textures = CitySurface.bare(np.zeros((height, 10), np.float32), 0.5), Columns()
    surface.albedo[:] = GREY
    surface.material[:] = CODE["asphalt"]
    surface.material[0] = CODE["grass"]
    intensity = SimpleNamespace(at=lambda x, y: np.full(np.shape(x), force))
    outcome: Any = SimpleNamespace(event=Event(kind=kind), intensity=intensity)
    paint_mud_and_ash(surface, outcome, textures)  # type: ignore[arg-type]
    return surface.albedo, textures


def by_hand(force: float, mud: float, dust: float, column: int) -> float:
    """The grey of one band after mud, and splinters on it."""
    broad, fine = TEXTURES["broad"][column], TEXTURES["fine"][column]
    muddy = min(max((force + 0.16 * broad - 0.45) * 1.8, 0), 0.75)
    value = GREY * (1 - muddy) + muddy * mud * (1 + 0.08 * fine)
    dusty = max((force - 0.35) * 1.3, 0) * 0.7 if SPLINTERS[column] else 0.0
    return value * (1 - dusty) + dusty * dust * (1 + 0.12 * fine)


@pytest.mark.parametrize("force", [0.2, 0.4, 0.6, 0.9, 1.0])
@pytest.mark.parametrize(("kind", "churn"), [("tornado", "mud"), ("fire", "scorch")])
def test_lawns_turn_to_mud_and_splinters_as_far_as_the_event_is_strong(force: float, kind: str, churn: str) -> None:
    albedo, _ = painted(force, kind)
    mud, dust = CHURN[churn]
    expected = [[by_hand(force, mud[band], dust[band], column) for column in range(10)] for band in range(4)]
    np.testing.assert_allclose(albedo[:, 0], np.floor(expected), atol=1)
    assert (albedo[:, 1:] == GREY).all()  # nothing on asphalt


def test_a_quake_leaves_lawns_as_they_are() -> None:
    albedo, textures = painted(1.0, "quake")
    assert (albedo == GREY).all()
    assert not textures.rows


def test_textures_are_read_by_256_rows_each_from_rows_of_its_own() -> None:
    _, textures = painted(1.0, height=300)
    rows = {"broad": 311, "middle": 97, "fine": 53}
    assert textures.rows == [
        (name, start + offset, count) for start, count in ((0, 256), (256, 44)) for name, offset in rows.items()
    ]
