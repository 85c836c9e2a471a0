"""The short text and the small HTML table that display an object.

All text is made printable and escaped for HTML, because names of files, bands and classes come from others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from deepnets4eo.grid import Grid

MAX_NAMES = 12  # names in a line
MAX_LETTERS = 200  # of one fact
CELL = "text-align:left;vertical-align:top"


class ColorRow(NamedTuple):
    """One row of a table of colours: the colour (R, G, B 0–255) and its cells."""

    color: tuple[int, int, int]
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """Contents of an object's display: title, `head` of the first line, `facts`, one per line, coloured rows (`in_colors`)."""

    title: str
    head: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    colors: Sequence[ColorRow] = ()
    in_colors: str = ""

    def text(self) -> str:
        """One line in angle brackets, and one line per fact."""
        first = ", ".join(_clean(value) for value in self.head.values())
        lines = [f"<{_clean(self.title)}: {first}>" if first else f"<{_clean(self.title)}>"]
        return "\n".join(lines + [f"  {_clean(name)}: {_clean(value)}" for name, value in self.facts.items()])

    def html(self) -> str:
        """Return the summary as an HTML table without scripts, pictures or anything from the network."""
        rows = "".join(
            f'<tr><th style="{CELL}">{_html(name)}</th><td style="{CELL}">{_html(value)}</td></tr>'
            for name, value in {**self.head, **self.facts}.items()
            if name != self.in_colors
        )
        colors = "".join(_color_row(row) for row in self.colors)
        tables = "".join(f"<table>{part}</table>" for part in (rows, colors) if part)
        return f"<div><strong>{_html(self.title)}</strong>{tables}</div>"


class WithSummary:
    """Base of classes that print as their summary; in notebooks they are shown as its table."""

    def _summary(self) -> Summary:
        """Return the summary that displays the object, without reading pixels."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return self._summary().text()

    def _repr_html_(self) -> str:
        return self._summary().html()


def grid_facts(grid: Grid) -> dict[str, str]:
    """Return the size, the CRS and the ground size of a pixel in words; the ground size is left out without a CRS."""
    from deepnets4eo.grid import mean_gsd_m  # imports GDAL's friends, which a legend does without

    height, width = grid.shape
    facts = {"size": f"{height} rows × {width} columns"}
    if grid.crs is None:
        return facts | {"CRS": "no CRS"}
    name = f"EPSG:{grid.crs.epsg}" if grid.crs.epsg else grid.crs.proj.name
    return facts | {"CRS": name, "pixel": f"{mean_gsd_m(grid):.3g} m/px"}


def count_text(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun.

    >>> count_text(1, "band"), count_text(2, "class", "classes")
    ('1 band', '2 classes')
    """
    return f"{number} {one if number == 1 else several or one + 's'}"


def list_names(names: Sequence[str], most: int = MAX_NAMES) -> str:
    """Return the first names, followed by an ellipsis if there are more.

    >>> list_names(["a", "b", "c"], most=2)
    'a, b, …'
    """
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def list_and_count(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are.

    >>> list_and_count(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _clean(text: object) -> str:
    """One line of printable characters, shortened in the middle."""
    line = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in str(text)
    )
    half = MAX_LETTERS // 2
    return line if len(line) <= MAX_LETTERS else f"{line[:half]} … {line[-half:]}"


def _html(text: object) -> str:
    return escape(_clean(text))


def _color_row(row: ColorRow) -> str:
    red, green, blue = (int(value) for value in row.color)
    swatch = f"display:inline-block;width:1em;height:1em;border:1px solid #888;background:rgb({red},{green},{blue})"
    cells = "".join(f'<td style="{CELL}">{_html(cell)}</td>' for cell in row.cells)
    return f'<tr><td><span style="{swatch}"></span></td>{cells}</tr>'
