"""`deepnets4eo mcp`: tools for an assistant, over standard input and output."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deepnets4eo.cli.output import echo


def mcp(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="Folders that the assistant may read.")],
    write: Annotated[
        Path | None,
        typer.Option(help="Folder to which the assistant may write maps; by default none."),
    ] = None,
) -> None:
    """Give an assistant tools to check files, query finished maps and, with --write, make new maps. The server is local and ends with the connection.

    Assistants start this command themselves (Model Context Protocol, stdio). Paths outside the folders are refused.

    \b
    deepnets4eo mcp maps/ images/
    deepnets4eo mcp maps/ images/ --write new/"""
    from deepnets4eo.assistant import Folders, make_server

    server = make_server(Folders([folder.resolve() for folder in folders], write.resolve() if write else None))
    echo("serving tools over standard input and output, until the input ends", err=True)
    server.run("stdio")
