"""The English of the pages of maps, as their scripts and their template have it."""

import re
from pathlib import Path

import deepnets4eo
from deepnets4eo.damage.products.report import DAMAGE
from deepnets4eo.outputs.map_page.page import LAST_SCRIPT, SCRIPTS

ROOT = Path(deepnets4eo.__file__).parent
SHARED = ROOT / "outputs/map_page/assets"


def words_of_page(kind=DAMAGE):
    """Every text that is looked up: {} for values; names of the objects are part of it."""
    own = ROOT.joinpath(*kind.package.split(".")[1:]) / "assets"
    names = {"OBJECT": kind.one, "OBJECTS": kind.many}
    scripts = [SHARED / name for name in (*SCRIPTS, LAST_SCRIPT)] + [own / name for name in kind.scripts]
    found = {text for path in scripts for text in _of_script(path.read_text(encoding="utf-8"), names)}
    template = (SHARED / "report.html").read_text(encoding="utf-8") + kind.choice
    return found | {text.format(**kind.words()) for text in re.findall("%%=(.*?)%%", template)}


def _of_script(script, names):
    """What stands in t`…`, templates within templates too."""
    for start in re.finditer(r"\bt`", script):
        text, depth, value = "", 0, ""
        for sign in script[start.end() :]:
            if not depth and sign == "`":
                break
            depth += (sign == "{" and (depth > 0 or text.endswith("$"))) - (sign == "}" and depth > 0)
            if depth:
                value += sign
            elif value:
                text, value = text[:-1] + names.get(value[1:], "{}"), ""
            else:
                text += sign
        yield text
