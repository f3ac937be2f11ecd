"""An extension of Python-Markdown: a list begins with the number that is written."""

from __future__ import annotations

from markdown import Extension, Markdown
from markdown.blockprocessors import OListProcessor


class Numbering(Extension):
    """What apps send is CommonMark, where "the start number of an ordered list is determined by the
    list number of its initial list item" (5.3). Python-Markdown begins with 1.
    """

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Python-Markdown's name
        """Change what reads lists; nothing where another extension does."""
        for reader in md.parser.blockprocessors:
            if isinstance(reader, OListProcessor):
                vars(reader)["LAZY_OL"] = False


def makeExtension(**configs: object) -> Numbering:  # noqa: N802 - as above
    """The extension."""
    return Numbering(**configs)
