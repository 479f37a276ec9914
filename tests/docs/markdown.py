"""What README and docs print: blocks of code, and commands and names in running text.

`<!-- not run: make faults (takes about an hour) -->` before a block exempts its commands that begin
so from being run, not from being checked. It does not show on the page.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md", ROOT / "backbones/README.md", *sorted((ROOT / "docs").glob("*.md")),
]  # fmt: skip

_BLOCK = re.compile(
    r"(?P<marks>(^<!-- [^\n]* -->\n)*)^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_EXEMPTION = re.compile(r"<!-- not run: (?P<beginning>.+?) \((?P<reason>.+)\) -->")
_INLINE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block. exemptions: beginning of a command -> why it is not run."""

    place: str  # docs/editing.md:12
    language: str
    text: str
    exemptions: dict[str, str]

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, continued ones joined, those with && apart."""
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in line.split(" && ")]
        return [shlex.join(words) for part in parts if (words := shlex.split(part, comments=True))]

    def exemption(self, command: str) -> str | None:
        """The beginning that exempts `command` from being run."""
        return next((first for first in self.exemptions if command.startswith(first)), None)


def blocks(*languages: str) -> list[Block]:
    """The fenced blocks of all documents, those in `languages` where any are given."""
    found = []
    for document in DOCUMENTS:
        text = document.read_text()
        for match in _BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("language")) + 1
            reasons = {m["beginning"]: m["reason"] for m in _EXEMPTION.finditer(match["marks"])}
            place = f"{document.relative_to(ROOT)}:{line}"
            found.append(Block(place, match["language"], match["text"], reasons))
    return [block for block in found if not languages or block.language in languages]


def inline_code() -> list[tuple[str, str]]:
    """Document and text of everything that stands `so` in running text."""
    return [
        (str(document.relative_to(ROOT)), " ".join(match[1].split()))
        for document in DOCUMENTS
        for match in _INLINE.finditer(_BLOCK.sub("", document.read_text()))
    ]
