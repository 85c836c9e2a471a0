"""What the README tells users to type is there."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import typer
import typer.main

from deepnets4eo.cards.catalog import recipes
from deepnets4eo.cli.main import VERBS

README = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
LINES = [line.split("#")[0].strip() for line in README.splitlines() if line.startswith("deepnets4eo ")]


def options_of(verb: str) -> set[str]:
    app = typer.Typer(add_completion=False)
    app.command()(getattr(import_module(f"deepnets4eo.cli.{verb}"), verb))
    return {
        name
        for parameter in typer.main.get_command(app).params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def test_the_readme_reaches_a_map_in_five_commands() -> None:
    assert len(LINES) >= 5
    assert LINES[0] == "deepnets4eo demo"


@pytest.mark.parametrize("line", LINES)
def test_every_command_has_its_verb_and_options(line: str) -> None:
    verb = line.split()[1]
    assert verb in VERBS
    assert set(re.findall(r"--[a-z-]+", line)) <= options_of(verb)


def test_options_named_in_the_text_are_those_of_the_damage_verb() -> None:
    section = README.split("## On your own files")[1].split("##")[0]
    assert set(re.findall(r"`--?([a-z-]+)", section)) <= {name.lstrip("-") for name in options_of("damage")} | {""}


def test_every_verb_is_in_the_readme() -> None:
    missing = [verb for verb in VERBS if f"`{verb}" not in README and f"deepnets4eo {verb}" not in README]
    assert missing == []


def test_the_recipe_of_the_example_is_shipped() -> None:
    assert {line.split()[2] for line in LINES if line.split()[1] == "train"} <= set(recipes())


def test_the_python_of_the_readme_imports_what_there_is() -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.S)[0]
    imports = "\n".join(line for line in code.splitlines() if line.startswith(("from", "import")))
    names: dict[str, object] = {}
    exec(compile(imports, "README.md", "exec"), names)
    compile(code, "README.md", "exec")
    assert callable(names["assess"])
