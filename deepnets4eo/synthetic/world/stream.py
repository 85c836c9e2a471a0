"""Random pairs of the miniature world from seeds: one, or an endless stream that feeds a training without files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from deepnets4eo.errors import InputError
from deepnets4eo.synthetic.world.pair import STEEPEST_LEAN, PairSample, render_pair
from deepnets4eo.synthetic.world.style import WorldStyle, style_names

NO_HAZARD = "none"
NO_HAZARD_SHARE = 0.25  # of the pairs whose hazard is drawn
GSD_M = (0.3, 1.0)
SMALLEST_PX = 64
LOW_M = 12.0  # margins are made for buildings of at least this height
STOREY_M = 3.3
FINEST_M, COARSEST_M = 0.2, 2.0  # sides of pixels that are drawn


def draw_pair(
    seed: int,
    *,
    style: str | None = None,
    hazard: str | None = None,
    size_px: int = 512,
    gsd_m: float | None = None,
    colours_of: Sequence[str] | None = None,
) -> PairSample:
    """Draw a place, what happens to it, and both images.

    Parameters
    ----------
    seed
        The seed of everything.
    style
        One of `style_names()`; drawn where None.
    hazard
        One of `hazard_names()`, "none" for harmless changes alone; drawn where None.
    size_px
        Side of the images, pixels.
    gsd_m
        Side of a pixel, metres, 0.2 to 2; 0.3–1 drawn where None.
    colours_of
        Names of styles of which one lends the surfaces and colours of its roofs and one its ground; the style's own where
        None.

    Returns
    -------
    PairSample

    Raises
    ------
    InputError
        There is no such style or hazard, a seed below 0, an image that is too small, or pixels of another size.
    """
    from deepnets4eo.synthetic.world.harmless import change
    from deepnets4eo.synthetic.world.hazard import Hazard, hazard_names
    from deepnets4eo.synthetic.world.layouts.lay_out import lay_out
    from deepnets4eo.synthetic.world.outcome import draw_outcome
    from deepnets4eo.synthetic.world.vegetation import plant

    _check_drawn(seed, size_px, gsd_m)
    rng = np.random.default_rng([seed, 41])
    drawn_style, drawn_gsd_m = str(rng.choice(style_names())), float(np.round(np.exp(rng.uniform(*np.log(GSD_M))), 2))
    drawn_hazard = NO_HAZARD
    if rng.random() >= NO_HAZARD_SHARE:
        drawn_hazard = str(rng.choice([name for name in hazard_names() if name != NO_HAZARD]))
    kind = WorldStyle.load(style or drawn_style)
    if colours_of is not None:
        _check_names("colours_of", colours_of)
        colour_rng = np.random.default_rng([seed, 47])  # its own, so that the rest of the place stays as it is
        roofs, ground = (WorldStyle.load(str(name)) for name in colour_rng.choice(list(colours_of), 2))
        kind = kind.in_colours_of(roofs, ground, colour_rng)
    gsd_m, hazard = gsd_m or drawn_gsd_m, hazard or drawn_hazard
    margin = _margin_px(kind, gsd_m)
    side_m = (size_px + 2 * margin) * gsd_m
    plan = plant(lay_out(kind, (side_m, side_m), rng), kind, rng)
    plan = change(plan, rng)
    outcome: Any = None
    if hazard != NO_HAZARD:
        plan, outcome = draw_outcome(plan, Hazard.load(hazard), rng)
    return render_pair(seed, plan, outcome, style=kind, hazard=hazard, size_px=size_px, gsd_m=gsd_m, margin_px=margin)


def pair_stream(
    seed: int,
    *,
    styles: Sequence[str] | None = None,
    hazards: Sequence[str] | None = None,
    size_px: int = 512,
    mixed_share: float = 0.0,
) -> Iterator[PairSample]:
    """Return random pairs without end; the same seed gives the same pairs.

    Parameters
    ----------
    seed
        The seed of the stream; streams of different seeds have no pair in common.
    styles
        Names to draw from; all where None.
    hazards
        Names to draw from; all, and "none" in a quarter of the pairs, where None.
    size_px
        Side of the images, pixels.
    mixed_share
        The share of the pairs whose roofs and ground have the colours of other styles than the one of their plan,
        0–1.

    Yields
    ------
    PairSample

    Raises
    ------
    InputError
        As `draw_pair`, and for an empty list of names.
    """
    _check_drawn(seed, size_px, None)
    for name, names in {"styles": styles, "hazards": hazards}.items():
        if names is not None:
            _check_names(name, names)
    rng = np.random.default_rng([seed, 43])
    while True:
        style = None if styles is None else str(rng.choice(list(styles)))
        hazard = None if hazards is None else str(rng.choice(list(hazards)))
        pair_seed = int(rng.integers(1 << 48))
        mixed = np.random.default_rng([pair_seed, 53]).random() < mixed_share
        colours_of = (styles or style_names()) if mixed else None
        yield draw_pair(pair_seed, style=style, hazard=hazard, size_px=size_px, colours_of=colours_of)


def _check_drawn(seed: int, size_px: int, gsd_m: float | None) -> None:
    if int(seed) != seed or seed < 0:
        raise InputError(f"seed is {seed}, expected a whole number of 0 or more.")
    if int(size_px) != size_px or size_px < SMALLEST_PX:
        raise InputError(f"size_px is {size_px}, expected a whole number of at least {SMALLEST_PX} pixels.")
    if gsd_m is not None and not FINEST_M <= gsd_m <= COARSEST_M:
        raise InputError(f"gsd_m is {gsd_m}, expected {FINEST_M} to {COARSEST_M} metres a pixel.")


def _check_names(name: str, names: Sequence[str]) -> None:
    if not len(names):
        raise InputError(f"{name} is empty. Name one or more, or leave it out for all.")


def _margin_px(style: WorldStyle, gsd_m: float) -> int:
    """Pixels around an image from which things lean in or cast shadows."""
    storeys = style.numbers.get("storeys", 2)
    highest_m = max(STOREY_M * float(np.max(storeys)), LOW_M)
    return int(np.clip(np.ceil(STEEPEST_LEAN * highest_m / gsd_m) + 6, 16, 64))
