"""`deepnets4eo datasets`: list dataset cards and legends, or show one."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from deepnets4eo.cli.completion import card_names
from deepnets4eo.cli.options import Json
from deepnets4eo.cli.output import echo, show_json


def datasets(
    name: Annotated[
        str | None, typer.Argument(help="Card to show.", show_default=False, autocompletion=card_names)
    ] = None,
    legends: Annotated[bool, typer.Option("--legends", help="List legends, or show the given one.")] = False,
    qml: Annotated[bool, typer.Option("--qml", help="Print the legend as a QGIS style.")] = False,
    json: Json = None,
) -> None:
    """List the dataset cards that come with the toolbox, or show one: source, licence, layout, splits, protocols.

    \b
    deepnets4eo datasets isprs_vaihingen
    deepnets4eo datasets --legends isprs --qml > isprs.qml"""
    from deepnets4eo.outputs.input_files import check_not_inputs

    check_not_inputs([json], [name])
    if qml:
        _print_style(name)
        return
    if name is not None and json is None:
        _print_card(name, legend=legends)
        return
    value = _legends(name) if legends else _cards(name)
    if json is not None:
        show_json(value, json)
        return
    width = max(len(known) for known in value)
    for known, title in value.items():
        echo(f"{known.ljust(width)}  {title}")


def _cards(name: str | None) -> dict[str, Any]:
    """One card, or the title of each."""
    from deepnets4eo.cards import catalog
    from deepnets4eo.cards.dataset_card import DatasetCard

    if name is not None:
        return DatasetCard.load(name).model_dump(mode="json", exclude_defaults=True)
    return {card: DatasetCard.load(card).title for card in catalog.datasets()}


def _legends(name: str | None) -> dict[str, Any]:
    """One legend, or the title of each."""
    from deepnets4eo.cards.legend import Legend

    if name is not None:
        return Legend.load(name).to_dict()
    return {known: Legend.load(known).title for known in Legend.available()}


def _print_style(name: str | None) -> None:
    from deepnets4eo.cards.legend import Legend
    from deepnets4eo.errors import InputError

    if name is None:
        raise InputError("--qml needs the name of a legend, for example: deepnets4eo datasets --qml isprs.")
    echo(Legend.load(name).qml(), nl=False)


def _print_card(name: str, *, legend: bool) -> None:
    """Print the file of a card after checking it."""
    from deepnets4eo.cards import catalog
    from deepnets4eo.cards.dataset_card import DatasetCard
    from deepnets4eo.cards.legend import Legend

    (Legend if legend else DatasetCard).load(name)
    path = catalog.legend_path(name) if legend else catalog.dataset_path(name)
    echo(path.read_text(encoding="utf-8").rstrip())
