"""The examples of the pages on extending as modules, so that tests run the very text that readers copy."""

from __future__ import annotations

import re
import sys
from types import ModuleType

from source_trees import ROOT

PAGES = ROOT / "docs" / "howto" / "extend"


def page_blocks(page: str) -> list[str]:
    """The blocks of Python of a page, in their order."""
    return re.findall(r"```python\n(.*?)```", (PAGES / f"{page}.md").read_text(encoding="utf-8"), re.DOTALL)


def page_module(page: str, name: str, *numbers: int) -> ModuleType:
    """The module that some blocks of a page make, by default its first, under the name that the page gives it."""
    blocks = page_blocks(page)
    text = "\n".join(blocks[number] for number in numbers or (0,))
    module = ModuleType(name)
    sys.modules[name] = module  # where dataclasses and entry points look for it
    exec(compile(text, str(PAGES / f"{page}.md"), "exec"), module.__dict__)
    return module
