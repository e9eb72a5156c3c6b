"""An HTML page as a list of its tags, for tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "source"}


@dataclass
class Page(HTMLParser):
    """What a page holds.

    Attributes:
        tags: Every opening tag with its attributes, in order.
        open: Tags not closed yet; empty at the end of a well-formed page.
        headings: Level and text of every heading.
        text: All text outside of style elements.
    """

    source: str
    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    text: str = ""
    unbalanced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Parse the source."""
        super().__init__(convert_charrefs=True)
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an opening tag."""
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)
        if tag in {"h1", "h2", "h3", "h4"}:
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        """Note a closing tag, and whether it closes the last one opened."""
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        """Note text."""
        if self.open and self.open[-1] == "style":
            return
        self.text += data
        if self.headings and any(tag in {"h1", "h2", "h3", "h4"} for tag in self.open):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)

    def named(self, tag: str) -> list[dict[str, str]]:
        """Attributes of every tag of one name."""
        return [attributes for name, attributes in self.tags if name == tag]
