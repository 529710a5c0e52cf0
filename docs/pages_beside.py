"""A hook of mkdocs: the pages of the site that lie beside docs/, and links to files that are no pages.

GitHub shows links such as ``../CHANGELOG.md`` as they are; on the site the same file is a page of its own.
A link to a file that is no page, such as a test, becomes its path from the top of the repository.
A picture of docs/ stays a picture.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

TOP = Path(__file__).resolve().parents[1]
# Pages of the site by their place in the repository.
BESIDE = {
    "README.md": "index.md",
    "docs/README.md": "pages.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "RELEASING.md": "releasing.md",
    "SECURITY.md": "security.md",
    **{
        f"examples/{each.parent.name}/README.md": f"examples/{each.parent.name}.md"
        for each in TOP.glob("examples/*/README.md")
    },
}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie beside docs/."""
    for source, page in BESIDE.items():
        files.append(File.generated(config, page, content=(TOP / source).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page, whose links lead to pages of the site."""
    sources = {page_of: source for source, page_of in BESIDE.items()}
    here = page.file.src_uri
    place = posixpath.dirname(sources.get(here, f"docs/{here}"))

    def link(found: re.Match[str]) -> str:
        return _link(found, place, posixpath.dirname(here))

    return _LINK.sub(link, markdown)


def _link(found: re.Match[str], place: str, directory: str) -> str:
    words, target, anchor = found[1], found[2], found[3] or ""
    path = posixpath.normpath(posixpath.join(place, target))
    page = BESIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else "")
    if page:
        return f"[{words}]({posixpath.relpath(page, directory or '.')}{anchor})"
    if (TOP / path).exists():
        return f"{words} (`{path}`)" if words.strip("`") != path else words
    return found[0]  # mkdocs says that it leads nowhere
