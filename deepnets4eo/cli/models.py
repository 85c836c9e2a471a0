"""`deepnets4eo models`: list the recipes and ready models that come with the toolbox, and the networks it can build."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from deepnets4eo.cli.completion import recipe_names
from deepnets4eo.cli.options import Json
from deepnets4eo.cli.output import echo, show_json


def models(
    pattern: Annotated[
        str,
        typer.Argument(
            help="Wildcard, e.g. *unet*; or the name of a recipe, to show its card.", autocompletion=recipe_names
        ),
    ] = "*",
    json: Json = None,
) -> None:
    """List recipes and networks by name, what each recipe is for, and which recipes come with weights; the full name of a recipe shows its card.

    \b
    deepnets4eo models
    deepnets4eo models "*unet*" --json -"""
    from fnmatch import fnmatch

    from deepnets4eo.cards import ShippedModel
    from deepnets4eo.errors import InputError, MissingExtraError, name_hint
    from deepnets4eo.segmenters import list_models

    if pattern in ShippedModel.names() and json is None:
        _show(pattern)
        return
    recipes = [name for name in ShippedModel.names() if fnmatch(name, pattern)]
    networks: list[str] | None
    reason = "none"
    try:
        networks = list_models(pattern)
    except MissingExtraError as error:
        networks, reason = None, f"not listed: {error}"
    if pattern != "*" and not recipes and not networks:
        known = [*ShippedModel.names(), *list_models()]
        hint = name_hint(pattern, known, '"deepnets4eo models" lists all.')
        raise InputError(f'No recipe or network has a name like "{pattern}". {hint}')
    if json is not None:
        about = [
            {"name": name, "about": ShippedModel(name).about, "weights": ShippedModel(name).has_weights}
            for name in recipes
        ]
        show_json({"recipes": recipes, "networks": networks, "models": about}, json)
        return
    width = max(map(len, recipes), default=0)
    weights = {name: "with weights" if ShippedModel(name).has_weights else "" for name in recipes}
    lines = [f"{name:{width}}  {text:12}  {ShippedModel(name).about}".rstrip() for name, text in weights.items()]
    for title, names in (("recipes", lines), ("networks", networks)):
        echo(f"{title}:")
        for name in names or [reason if names is None else "none"]:
            echo(f"  {name}")


def _show(name: str) -> None:
    from deepnets4eo.cards import ShippedModel

    folder = ShippedModel(name).folder
    echo(folder)
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8").rstrip() if card.is_file() else "It has no card.md."
    echo(re.sub(r"<!--.*?-->", "", text))  # names of figures, for the script that writes the figures
