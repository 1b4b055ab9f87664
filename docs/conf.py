"""Sphinx's configuration of the site. `tools/build_site.py` calls it, after it has put all pages into one folder."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extension"))
EXTRA = os.environ["VTM_SITE_EXTRA"]  # MathJax and the pictures of explorers, which the builder has put there

import vtm_lesson  # noqa: E402

project = "Video token merging, by doing it"
author = "the authors of vtm-lesson"
release = version = vtm_lesson.__version__
language = "en"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "course_links",
    "course_figures",
    "course_reference",
]

# Pages.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # no script from elsewhere
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
myst_update_mathjax = False

# The reference.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say types, with shapes
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_preprocess_types = False
add_module_names = False
toc_object_entries = False  # a heading says it already

# Mathematics: one file beside the pages. The letters are paths, so there is no font to fetch.
mathjax_path = "mathjax/tex-svg-full.js"
mathjax3_config = {
    "startup": {"typeset": True},
    "options": {
        "ignoreHtmlClass": "mathjax_ignore|document",
        "processHtmlClass": "math",
        "enableMenu": False,  # it would fetch what is not here
    },
    "svg": {"fontCache": "local"},
}

# The look.
html_theme = "pydata_sphinx_theme"
html_title = project
templates_path = [str(Path(__file__).parent / "_templates")]
html_static_path = ["_static", f"{EXTRA}/_static"]
html_extra_path = [f"{EXTRA}/pages"]
html_css_files = ["course.css"]
html_js_files = ["course.js"]
html_favicon = "_static/favicon.svg"
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_sidebars = {"index": [], "results": [], "explorers": [], "search": []}
html_context = {"default_mode": "auto"}  # the reader's own
html_theme_options = {
    "logo": {"text": "Video token merging"},
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["licence"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "navigation_depth": 2,
    "show_nav_level": 1,
    "search_bar_text": "Search the course",
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}
copybutton_selector = "div.cell_input pre, div.highlight-python pre, div.highlight-bash pre"
copybutton_exclude = ".linenos, .gp, .go"
