"""The documentation as a site: `make docs` builds it into site/.

The pages stay where they are and link to each other as on a repository's own page, so the whole
checkout is Sphinx's source folder, and README.md its home.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "lib"))

import correct_l0  # noqa: E402

project = "correct-l0"
release = correct_l0.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
highlight_language = "none"
include_patterns = ["*.md", "config/README.md", "docs/*.md"]
exclude_patterns = [".*", "results", "site"]
default_role = "literal"
myst_heading_anchors = 3
napoleon_google_docstring = False
html_theme = "furo"
html_title = project

CONTENTS = {
    "Start": ["docs/is-it-for-me", "docs/your-model", "docs/read-the-report", "docs/recipes"],
    "Use": [
        "config/README",
        "docs/architectures",
        "docs/imported",
        "docs/your-activations",
        "docs/cluster",
        "docs/api",
    ],
    "Why": [
        "docs/how-it-works",
        "docs/calibration",
        "docs/default-study",
        "docs/toy-model",
        "docs/hedging",
        "docs/census",
    ],
    "Change": [
        "CONTRIBUTING",
        "docs/add-a-source",
        "docs/add-a-metric",
        "docs/add-an-architecture",
        "docs/benchmarks",
        "CHANGELOG",
    ],
}
"""Pages by the heading they stand under; those of docs/ that are not named come last."""
_named = {page for pages in CONTENTS.values() for page in pages}
CONTENTS["More"] = sorted({f"docs/{path.stem}" for path in ROOT.glob("docs/*.md")} - _named)

LINK = re.compile(r"\[([^]]+)\]\(([^)#:]+)\)")
"""A link to a file or folder of the repository, its words first."""


def setup(app):
    """Have pages changed as they are read, and the home found where a browser looks for it."""
    app.connect("source-read", _as_on_the_site)
    app.connect("build-finished", _add_index)


def _as_on_the_site(app, page, source):
    """Make links to folders plain words, as a site has no page for them; add what is generated."""
    here = (ROOT / page).parent

    def words_of_folder(link):
        return link[1] if (here / link[2]).is_dir() else link[0]

    source[0] = LINK.sub(words_of_folder, source[0])
    if page == "docs/api":
        names = (name for name in correct_l0.__all__ if not name.startswith("_"))
        functions = "".join(f".. autofunction:: correct_l0.{name}\n" for name in names)
        source[0] += f"\n```{{eval-rst}}\n{functions}```\n"
    if page == root_doc:
        source[0] += "".join(
            f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{chr(10).join(pages)}\n```\n"
            for heading, pages in CONTENTS.items()
        )


def _add_index(app, error):
    if error is None and app.builder.name == "html":
        shutil.copyfile(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))
