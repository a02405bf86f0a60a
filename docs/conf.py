"""How `make docs` builds the pages.

MERMAID in the environment names the folder `dist` of the npm package mermaid, which then draws the diagrams in the
browser; without it they stay code. Nothing is fetched, neither while pages are built nor when they are read.
"""

import os
import re
from pathlib import Path
from typing import Any

from pygments.lexers.special import TextLexer

MERMAID = os.environ.get("MERMAID", "")
REPOSITORY = Path(__file__).parent.parent
LINK = re.compile(r"\[([^]\n]+)\]\(([^)#:\n]+)\)")
# The index lists the pages by hand; this is for the menu beside them.
MENU = "\n\n```{toctree}\n:hidden:\n:glob:\n\n/*\n/docs/[a-z]*\n/docs/decisions/*\n```\n"

project = "svc-reservations"
root_doc = "docs/README"
include_patterns = ["*.md", "docs/**.md"]
extensions = ["myst_parser"]
myst_heading_anchors = 4
html_show_copyright = False
html_theme_options = {"page_width": "75rem", "body_max_width": "none"}

if MERMAID:
    extensions.append("sphinxcontrib.mermaid")
    myst_fence_as_directive = ["mermaid"]
    html_static_path = [str(Path(MERMAID).absolute())]
    mermaid_use_local = "mermaid.esm.min.mjs"
    mermaid_init_config = {"startOnLoad": False, "deterministicIds": True}


def setup(app: Any) -> None:
    """Show diagrams as text where nothing draws them, and prepare pages that were written to be read as they are."""
    app.add_lexer("mermaid", TextLexer)
    app.connect("source-read", _prepare)


def _prepare(_: Any, name: str, source: list[str]) -> None:
    """Leave links to folders as text, for a folder is no page, and give the index a menu of all pages."""
    folder = (REPOSITORY / name).parent
    text = LINK.sub(lambda link: link[1] if (folder / link[2]).is_dir() else link[0], source[0])
    source[0] = text + MENU if name == root_doc else text
