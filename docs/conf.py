"""How the documentation is built: `make docs`. Warnings are errors, and nothing is downloaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import femto_bluesky

sys.path.insert(0, str(Path(__file__).parent))
# in the pages, silx need not say that there is no graphics card
os.environ["SILX_OPENCL"] = "0"

project = "femto_bluesky"
author = "the femto_bluesky authors"
copyright = f"2026, {author}"  # noqa: A001 - the name is Sphinx's
release = femto_bluesky.__version__
version = release

extensions = [
    "myst_nb",
    "settings_tables",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_templates"]
html_theme = "furo"
html_title = f"femto_bluesky {release}"
nitpicky = False  # the links into other packages would need their inventories, hence the network

# Pages are Markdown. A page with `file_format: mystnb` at its top is executed; if it raises, the
# build fails.
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True  # what is printed in pieces is shown in one
nb_execution_excludepatterns = ["reference/*"]

# The reference is made from the docstrings, one page a module. They are plain prose: a word in
# single backquotes is code.
default_role = "code"
highlight_language = "text"  # outputs and commands are no Python
autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_type_aliases = {"NDArray": "NDArray"}
# A name that a module hands on is described where it is made: twice, links to it are ambiguous.
autodoc_default_options = {"members": True, "show-inheritance": True, "ignore-module-all": True}
python_maximum_signature_line_length = 88
copybutton_exclude = ".linenos, .gp, .go"
