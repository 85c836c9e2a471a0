"""`deepnets4eo datasets`: list cards of datasets, legends and embeddings, or show one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deepnets4eo.cli.completion import card_names
from deepnets4eo.cli.options import Json
from deepnets4eo.cli.output import echo, show_json

if TYPE_CHECKING:
    from deepnets4eo.cards import CardKind


def datasets(
    name: Annotated[str | None, typer.Argument(help="Name of the card to show.", autocompletion=card_names)] = None,
    legends: Annotated[bool, typer.Option("--legends", help="List the legends, or show the legend NAME.")] = False,
    qml: Annotated[bool, typer.Option("--qml", help="Print the legend as a QGIS style (QML).")] = False,
    json: Json = None,
) -> None:
    """List the cards of datasets and embeddings that come with the toolbox, or show one: source, licence, layout, splits.

    \b
    deepnets4eo datasets isprs_vaihingen
    deepnets4eo datasets --legends isprs --qml > isprs.qml"""
    from deepnets4eo.outputs import check_not_inputs

    check_not_inputs([json], [name])
    if qml:
        _print_style(name)
        return
    if name is not None and json is None:
        load, kind = _kind(name, legends=legends)
        load(name)  # which checks it
        echo(kind.path(name).read_text(encoding="utf-8").rstrip())
        return
    value = _titles(legends=legends) if name is None else _plain(_kind(name, legends=legends)[0](name))
    if json is not None:
        show_json(value, json)
        return
    width = max(len(key) for key in value)
    for key, title in value.items():
        echo(f"{key.ljust(width)}  {title}")


def _kind(name: str, *, legends: bool) -> tuple[Callable[[str], Any], CardKind]:
    """Return the reader of a named card, and the kind of the card."""
    from deepnets4eo.cards import CardKind, DatasetCard, EmbeddingCard, Legend

    if legends:
        return Legend.load, CardKind.LEGEND
    if name in CardKind.EMBEDDING.names:
        return EmbeddingCard.load, CardKind.EMBEDDING
    return DatasetCard.load, CardKind.DATASET


def _titles(*, legends: bool) -> dict[str, str]:
    kinds = [_kind(name, legends=legends) for name in (("",) if legends else ("", "alphaearth"))]
    return {name: load(name).title for load, kind in kinds for name in kind.names}


def _plain(card: Any) -> dict[str, Any]:
    value: dict[str, Any] = (
        card.to_dict() if hasattr(card, "to_dict") else card.model_dump(mode="json", exclude_defaults=True)
    )
    return value


def _print_style(name: str | None) -> None:
    from deepnets4eo.cards import Legend
    from deepnets4eo.errors import InputError

    if name is None:
        raise InputError("--qml needs the name of a legend, for example: deepnets4eo datasets --qml isprs.")
    echo(Legend.load(name).qml(), nl=False)
