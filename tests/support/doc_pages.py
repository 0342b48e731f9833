"""What the documents hold: blocks of code, command lines, links. Used by test_docs.py."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "weights" / "README.md"])
RUN = "<!-- run -->"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:(?<=\n\n)|\A)((?:    [^\n]*\n|\n(?=    ))+)")
COMMENT = re.compile(r"\s#\s.*$|^#.*$")
LAUNCHER = re.compile(r"^(?:\S*/)?torchrun(?: --\S+)* ")


class Block(NamedTuple):
    """A block of code: its page, language ("" for indented ones), text, and whether it is marked to be run."""

    page: Path
    language: str
    text: str
    run: bool


def blocks(page: Path) -> list[Block]:
    """Fenced and indented blocks of a page, the latter without their indentation."""
    text = page.read_text()
    found = [
        Block(page, match[1], match[2], text[: match.start()].rstrip().endswith(RUN)) for match in FENCE.finditer(text)
    ]
    for match in INDENTED.finditer(FENCE.sub("", text)):
        found.append(Block(page, "", re.sub(r"^    ", "", match[1], flags=re.MULTILINE), False))
    return found


def commands(block: Block) -> list[list[str]]:
    """The block's commands of this project, as lists of words: ``python FILE.py ...`` and ``semiuhpe ...``.

    What stands for something is left as it is; brackets around options that may be left out are removed.
    """
    if block.language not in ("", "bash"):
        return []
    found = []
    for line in block.text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|;", COMMENT.sub("", line)):
            part = LAUNCHER.sub("python ", re.sub(r"[\[\]]", " ", part.strip()))
            words = re.sub(r"\s\.\.\.$", "", part.strip()).replace("|", " ").split()[:2]
            if len(words) == 2 and (is_python(words) or Path(words[0]).name == "semiuhpe"):
                found.append(shlex.split(re.sub(r"\s\.\.\.$", "", part.strip())))
    return found


def is_python(words: list[str]) -> bool:
    return Path(words[0]).name in ("python", "python3") and words[1].endswith(".py")


def links(page: Path) -> list[tuple[str, str]]:
    """Path and anchor of each link of a page to something in the repository."""
    text = FENCE.sub("", page.read_text())
    found = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", text)
    return [(path, anchor) for path, anchor in found]


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
