"""A verb of another package: found by its entry point, with help and errors as ours have them."""

from importlib.metadata import EntryPoint
from typing import Annotated

import pytest
import typer

from deepnets4eo.cli import main as command_line
from deepnets4eo.errors import InputError


def count_trees(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="An image.")],
    least: Annotated[int, typer.Option(help="Fewest trees.")] = 1,
) -> None:
    """Count the trees of an image."""
    if image == "desert.tif":
        raise InputError(f"{image} has no trees. Give another image.")
    typer.echo(f"{image}: {least}")


@pytest.fixture
def installed(monkeypatch):
    entries = {
        name: EntryPoint(name, f"{__name__}:count_trees", "deepnets4eo.verbs") for name in ("count-trees", "damage")
    }
    monkeypatch.setattr(command_line, "plugins_of", lambda group: entries if group == "verbs" else {})


def run(*arguments: str) -> int:
    return command_line.main(list(arguments))


def test_a_verb_of_another_package_runs_and_is_listed(installed, capsys):
    assert run("count-trees", "wood.tif", "--least", "3") == 0
    assert capsys.readouterr().out == "wood.tif: 3\n"
    assert run("--help") == 0
    listed = capsys.readouterr().out
    assert "count-trees" in listed[listed.index("Of other packages") :]
    assert run("count-trees", "--help") == 0
    assert "Fewest trees." in capsys.readouterr().out


def test_its_errors_are_messages_and_its_mistyped_name_is_guessed(installed, capsys):
    assert run("count-trees", "desert.tif") == 2
    assert capsys.readouterr().err == "Error: desert.tif has no trees. Give another image.\n"
    assert run("count-tree", "wood.tif") == 2
    assert "Did you mean 'count-trees'?" in capsys.readouterr().err


def test_none_takes_the_place_of_one_of_ours(installed, capsys):
    assert run("damage", "--help") == 0
    assert "Map building damage" in " ".join(capsys.readouterr().out.split())
