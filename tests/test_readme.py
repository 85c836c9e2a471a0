"""What the README and the documentation tell users to type is there, and the README is short."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from deepnets4eo.cards import ShippedModel
from deepnets4eo.cli.main import VERBS, app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").rglob("*.md"))
HOWTO_DAMAGE = (ROOT / "docs" / "howto" / "damage.md").read_text(encoding="utf-8")
MAX_LINES = 70


def commands(text: str) -> list[str]:
    """Lines that call the command line, without their comments; output that is piped elsewhere is left out."""
    lines = (re.split(r"\s#|\s[|>]", line)[0].strip() for line in text.splitlines())
    return [line for line in lines if line.startswith("deepnets4eo ")]


LINES = commands(README)
LINES_OF_PAGES = sorted({line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))})


def command_of(line: str) -> Any:
    """The verb of a command line, or the part of it that the line names."""
    command = typer.main.get_command(app).get_command(None, line.split()[1])
    return getattr(command, "commands", {}).get(line.split()[2], command) if len(line.split()) > 2 else command


def options_of(line: str) -> set[str]:
    return {name for parameter in command_of(line).params for name in (*parameter.opts, *parameter.secondary_opts)}


def keys_of(line: str) -> set[str]:
    """The keys of --set; none for a verb that takes any, such as train."""
    return {
        item.value.removesuffix("=")
        for parameter in command_of(line).params
        if parameter.name == "set_keys"
        for item in parameter.shell_complete(typer.Context(command_of(line)), "")
    }


def test_the_readme_without_its_tables_is_short() -> None:
    assert len([line for line in README.splitlines() if not line.startswith("|")]) <= MAX_LINES


def test_the_readme_reaches_a_map_in_five_commands() -> None:
    assert len(LINES) >= 5
    assert LINES[0] == "deepnets4eo demo"


def test_the_pages_have_commands() -> None:
    assert len(LINES_OF_PAGES) > 20


@pytest.mark.parametrize("line", sorted({*LINES, *LINES_OF_PAGES}))
def test_every_command_has_its_verb_and_options(line: str) -> None:
    verb = line.split()[1]
    if verb.startswith("--"):  # of the program itself
        assert verb in {name for parameter in typer.main.get_command(app).params for name in parameter.opts}
        return
    assert verb in VERBS
    assert set(re.findall(r"(?<=\s)--[a-z-]+", line)) <= options_of(line)
    if verb != "train":
        assert set(re.findall(r"--set (\w+)=", line)) <= keys_of(line)


def test_options_named_in_the_text_are_those_of_the_damage_verb() -> None:
    named = set(re.findall(r"`--?([a-z-]+)", HOWTO_DAMAGE))
    assert {"dry-run", "resume"} <= named
    assert named <= {name.lstrip("-") for name in options_of("deepnets4eo damage")} | {""}
    keys = set(re.findall(r"`--set (\w+)=", HOWTO_DAMAGE))
    assert {"max_shift_m", "network"} <= keys <= keys_of("deepnets4eo damage")


@pytest.mark.parametrize("verb", VERBS)
def test_options_on_the_page_of_a_verb_are_its_own(verb: str) -> None:
    pages = [page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "howto" / "verbs").glob("*.md")]
    (page,) = (text for text in pages if f"{{{{ help {verb} }}}}" in text)
    command = typer.main.get_command(app).get_command(None, verb)
    parts = getattr(command, "commands", {}).values() or [command]
    options = {name for part in parts for one in part.params for name in (*one.opts, *one.secondary_opts)}
    assert (
        set(re.findall(r"`(--[a-z][a-z-]+)", page)) - {"--water"} <= options
    )  # --water : `damage` takes maps of floods


def test_every_verb_is_in_the_readme() -> None:
    missing = [verb for verb in VERBS if f"`{verb}" not in README and f"deepnets4eo {verb}" not in README]
    assert missing == []


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_recipes_of_the_examples_are_shipped() -> None:
    trained = {line.split()[2] for line in (*LINES, *LINES_OF_PAGES) if line.split()[1] == "train"}
    assert "unet-resnet34" in trained
    assert trained <= set(ShippedModel.names())


@pytest.mark.parametrize("text", [README, HOWTO_DAMAGE], ids=["README", "damage.md"])
def test_the_python_of_the_documentation_imports_what_there_is(text: str) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.S))
    imports = "\n".join(line for line in code.splitlines() if line.startswith(("from", "import")))
    names: dict[str, object] = {}
    exec(compile(imports, "page", "exec"), names)
    compile(code, "page", "exec")
    assert callable(names["assess"])
