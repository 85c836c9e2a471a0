"""`deepnets4eo models`: list the recipes and ready models that come with the toolbox, and the networks it can build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.completion import recipe_names
from deepnets4eo.cli.option_groups import with_options
from deepnets4eo.cli.options import Json
from deepnets4eo.cli.output import echo, show_json, show_result
from deepnets4eo.errors import InputError
from deepnets4eo.segmenters import OnnxFacts


@with_options(OnnxFacts)
def models(
    pattern: Annotated[
        str,
        typer.Argument(
            help="Wildcard, e.g. *unet*; or the name of a recipe, to show its card.", autocompletion=recipe_names
        ),
    ] = "*",
    file: Annotated[str | None, typer.Argument(metavar="[FILE.onnx]", help="After add: a network of others.")] = None,
    facts: OnnxFacts = OnnxFacts(),
    json: Json = None,
) -> None:
    """List recipes and networks by name, what each recipe is for, and which recipes come with weights; the full name of a recipe shows its card.

    `add FILE.onnx` keeps what a network of others does not state next to its file; then it is a run for `predict`, `change`, and others.

    \b
    deepnets4eo models
    deepnets4eo models "*unet*" --json -
    deepnets4eo models add roofs.onnx --legend background,building --set bands=red,green,blue --set normalisation=imagenet --set activation=logits"""
    if pattern == "add" or file is not None or facts != OnnxFacts():
        _add(pattern, file, facts)
        return
    from fnmatch import fnmatch

    from deepnets4eo.cards import ShippedModel
    from deepnets4eo.errors import MissingExtraError, name_hint
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


def _add(verb: str, file: str | None, facts: OnnxFacts) -> None:
    """Keep the facts of an ONNX file next to it. Raises InputError for other words."""
    from deepnets4eo.segmenters import card_path, is_onnx, with_card

    if verb != "add" or file is None or not is_onnx(file):
        raise InputError(
            f"models got {verb} {file or ''} with facts of a network; expected an ONNX file: deepnets4eo models add FILE.onnx …"
        )
    path = Path(file)
    network = with_card(path, facts)
    for line in network.lines():
        echo(line)
    show_result(f"{path.name} is ready: deepnets4eo predict {path} IMAGE --out MAP.tif", card_path(path))


def _show(name: str) -> None:
    from deepnets4eo.cards import ShippedModel

    folder = ShippedModel(name).folder
    echo(folder)
    card = folder / "card.md"
    text = card.read_text(encoding="utf-8").rstrip() if card.is_file() else "It has no card.md."
    echo(re.sub(r"<!--.*?-->", "", text))  # names of figures, for the script that writes the figures
