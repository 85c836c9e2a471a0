"""The server of tools, over standard input and output only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from deepnets4eo.assistant.folders import Folders
from deepnets4eo.assistant.tools import Tools
from deepnets4eo.assistant.verb import ending_verbs
from deepnets4eo.errors import DeepNets4EOError
from deepnets4eo.lazy import name_missing_extra
from deepnets4eo.version import __version__

if TYPE_CHECKING:
    from mcp.server import MCPServer

AT_ONCE = 2  # requests that work at a time; each may take a processor and gigabytes
INSTRUCTIONS = """Maps of building damage, floods and changes from remote-sensing images, on this computer.
Check the files of a user before a job. Report findings and what is not known with every number: not assessed is not undamaged.
Paths are inside the folders that the user named: {folders}. {writing}"""


@name_missing_extra()
def make_server(folders: Folders) -> MCPServer:
    """Return a server whose tools read, and with a folder for it also write, in the folders of a user.

    Parameters
    ----------
    folders : where the tools may read and write

    Returns
    -------
    MCPServer
        `run("stdio")` serves until the input ends.

    Raises
    ------
    MissingExtraError
        The package `mcp` is not installed (extra `mcp`).
    """
    from mcp.server import MCPServer
    from mcp.types import ToolAnnotations

    tools, turns = Tools(folders), asyncio.Semaphore(AT_ONCE)
    writing = "Maps go into new folders below " + str(folders.write) + "." if folders.write else "Nothing is written."
    words = INSTRUCTIONS.format(folders=", ".join(map(str, folders.read)), writing=writing)
    server = MCPServer("deepnets4eo", instructions=words, version=__version__, log_level="ERROR")
    for tool in tools.offer():
        reads = tool not in tools.writing()
        notes = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
        server.tool(annotations=notes)(_as_served(tool, turns))
    return server


def _as_served(tool: Callable[..., Any], turns: asyncio.Semaphore) -> Callable[..., Any]:
    """Return a tool that waits its turn, ends with the connection, and passes on the words of a refusal; the protocol's package hides others."""
    from mcp.server.mcpserver.exceptions import ToolError

    @wraps(tool)
    async def call(*arguments: Any, **named_arguments: Any) -> Any:
        async with turns:
            return await in_thread(partial(tool, *arguments, **named_arguments))

    async def in_thread(work: Callable[[], Any]) -> Any:
        with ending_verbs():
            try:
                return await asyncio.to_thread(work)
            except (DeepNets4EOError, OSError) as error:
                raise ToolError(str(error)) from error

    return call
