"""Commercial blocks of the miniature city, and the colours of its roofs (SYNTHETIC)."""

from typing import Any

import numpy as np
import pytest

from deepnets4eo.synthetic import Event
from deepnets4eo.synthetic.layout import CityBlock, _commerce
from deepnets4eo.synthetic.style import ROOFS, roof_colour


class Halls:
    """A block that only keeps where its halls stand: (v, length along) each."""

    def __init__(self, block: CityBlock, seed: int) -> None:
        self.block, self.rng, self.halls = block, np.random.default_rng(seed), []
        self.plan: Any = self

    paving = property(lambda self: [])

    def build(self, u: float, v: float, size: tuple[float, float], shape: str, use: str, turn: float = 0.0) -> None:
        if use == "hall":
            self.halls.append((v, size[0]))

    def pave(self, *_: object) -> None: ...

    def slot(self, *_: object, **__: object) -> None: ...

    def position(self, u: float, v: float) -> tuple[float, float, float]:
        return u, v, 0.0


@pytest.mark.parametrize("seed", range(5))
def test_halls_divide_their_block_into_equal_parts_and_stand_in_the_middle_of_each(seed: int) -> None:
    site: Any = Halls(CityBlock(10.0, 60.0, 100.0, 300.0, "commerce", 20.0), seed)
    _commerce(site)
    along, lengths = np.array(site.halls).T
    count = len(along)
    assert 2 <= count <= 5  # 200 m by 40 to 75 m each
    edges = np.linspace(100, 300, count + 1)
    np.testing.assert_allclose(along, (edges[:-1] + edges[1:]) / 2)
    assert (lengths <= 0.75 * 200 / count).all()


@pytest.mark.parametrize(
    ("covering", "sums"),
    [
        ("shingle", (25032, 22467, 20443, 24475)),
        ("tile", (29415, 19786, 16514, 24535)),
        ("metal", (29147, 28727, 27913, 28603)),
        ("membrane", (41073, 40329, 38788, 38924)),
        ("bitumen", (20378, 19498, 18844, 20363)),
    ],
)
def test_seeds_give_the_same_colours_of_roofs_in_every_release(covering: str, sums: tuple[int, ...]) -> None:
    """Sums of red, green, blue and infrared of 200 roofs; figures rest on these colours."""
    assert len(ROOFS) == 5
    rng = np.random.default_rng(3)
    colours = np.array([roof_colour(rng, covering) for _ in range(200)])
    assert tuple(colours.sum(axis=0).tolist()) == sums


def test_drawn_events_lie_off_by_up_to_nine_pixels_either_way() -> None:
    shifts = np.array([Event.draw(seed).shift_px for seed in range(300)])
    assert (np.abs(shifts) <= 9).all()
    assert (shifts.min(axis=0) < -8.5).all()
    assert (shifts.max(axis=0) > 8.5).all()
