"""How the documents become a site: `make docs`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import sparsenode

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

project = "sparsenode"
author = "the sparsenode developers"
release = version = sparsenode.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "reference_pages",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
# Blocks of code that are no notebook cells are run by the tests, and shown as they are written here.
nb_execution_mode = os.environ.get("SPARSENODE_NOTEBOOKS", "cache")
nb_execution_cache_path = str(HERE / "_build" / "notebooks")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False

html_theme = "sphinx_book_theme"
html_title = "sparsenode"
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True, "use_download_button": False}
html_static_path: list[str] = []
suppress_warnings = [
    # Highlighting of formats that pygments does not know falls back to plain text.
    "misc.highlighting_failure",
    # Without execution the language of a notebook's cells is not known.
    "myst-nb.lexer",
]
