"""Lay out a site of a style: the plan before any hazard.

`LAYOUTS` names the function of each layout, which takes style, extent and generator as `lay_out` does.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from deepnets4eo.errors import InputError
from world.plan import Plan
from world.style import WorldStyle

Layout = Callable[[WorldStyle, tuple[float, float], np.random.Generator], Plan]
_HERE = __name__
LAYOUTS = {
    "streets": f"{_HERE}.houses:lay_out_streets",
    "courtyards": f"{_HERE}.courtyards:lay_out_courtyards",
    "compounds": f"{_HERE}.compounds:lay_out_compounds",
    "towers": f"{_HERE}.towers:lay_out_towers",
    "halls": f"{_HERE}.halls:lay_out_halls",
    "rows": f"{_HERE}.houses:lay_out_rows",
    "scatter": f"{_HERE}.scatter:scatter",
    "informal": f"{_HERE}.informal:informal",
    "resort": f"{_HERE}.resort:resort",
    "countryside": f"{_HERE}.land:countryside",
}  # layout of a style → its module and function


def lay_out(style: WorldStyle, extent_m: tuple[float, float], rng: np.random.Generator) -> Plan:
    """Lay out a site.

    Parameters
    ----------
    style : what is built there
    extent_m : (width, height) of the site, metres
    rng : source of all draws: the same state gives the same plan

    Returns
    -------
    All objects are there at both dates. No two buildings overlap, and none stands on asphalt.

    Raises
    ------
    InputError
        The extent is no positive size, or the style names no layout of `LAYOUTS`.

    Examples
    --------
    >>> plan = lay_out(WorldStyle.load("suburb"), (200.0, 200.0), np.random.default_rng(1))
    >>> len(plan.buildings) > 20
    True
    """
    if not (min(extent_m) > 0 and max(extent_m) < 20_000):
        raise InputError(f"extent_m is {extent_m}, expected two sizes above 0 and below 20000 metres.")
    return _layout(style)(style, (float(extent_m[0]), float(extent_m[1])), rng)


def _layout(style: WorldStyle) -> Layout:
    if style.layout not in LAYOUTS:
        raise InputError(
            f'styles/{style.name}.yaml: layout is "{style.layout}", expected one of {", ".join(sorted(LAYOUTS))}.'
        )
    module, _, name = LAYOUTS[style.layout].partition(":")
    function: Layout = getattr(import_module(module), name)
    return function
