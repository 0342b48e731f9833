"""A hook of mkdocs: files at the top of the repository become pages of the site, and links to them lead there.

So that each text exists once, and its links work on the site as they do in the repository.
"""

import posixpath
import re

from mkdocs.structure.files import File

PAGES = {
    "README.md": "index.md",
    "weights/README.md": "weights.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
}
"""Files of the repository, and the pages that they become."""
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")


def on_files(files, config):
    """Adds the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=source))
    return files


def on_page_markdown(markdown, page, config, files):
    """Writes links between files of the repository as links between pages."""
    source = {page: source for source, page in PAGES.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def target(match: re.Match) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), match[1]))
        return PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else match[1])

    return LINK.sub(target, markdown)
