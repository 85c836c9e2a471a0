"""Messages about label rasters whose stated legend or nodata contradicts the legend in which they are read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepnets4eo.cards import VOID, Legend
from deepnets4eo.options import normalise_name

MAX_LISTED = 4  # values in a message


def hidden_class(stored: Sequence[float | None], legend: Legend) -> str | None:
    """Return the class whose value or colour is the nodata value of all bands, one for each band; None without one."""
    if any(value is None or not 0 <= value <= VOID or value != int(value) for value in stored):
        return None
    if len(stored) == 3:
        same = (legend.colors == list(stored)).all(axis=1)
        return legend.names[int(same.argmax())] if same.any() else None
    value = int(legend.from_file(np.array(stored[:1], np.int64))[0])
    return legend.names[legend.values.index(value)] if len(stored) == 1 and value in legend.values else None


def other_legend_note(own: Legend | None, legend: Legend, source: str) -> str | None:
    """Return a message about values to which `legend` gives other names than the raster's `own` legend; None without such values."""
    if own is None:
        return None
    names, stated = (dict(zip(entries.values, entries.names, strict=True)) for entries in (legend, own))
    other = [value for value in stated if normalise_name(names.get(value, "")) != normalise_name(stated[value])]
    if not other:
        return None
    listed = ", ".join(f"{value} = {stated[value]!r}, not {names.get(value)!r}" for value in other[:MAX_LISTED])
    more = " …" if len(other) > MAX_LISTED else ""
    same = sorted(map(normalise_name, names.values())) == sorted(map(normalise_name, stated.values()))
    return (
        f"{source} states its own legend, {own.name}, in which {listed}{more}. The legend {legend.name}, which was given, "
        f"{'has the same names in another order' if same else 'has other names for these values'}, and is used. Leave it out to use the "
        "raster's own legend."
    )
