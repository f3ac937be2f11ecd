"""Adapts inline CommonMark to Python-Markdown."""

from __future__ import annotations

import re

from bridge.content.markup.changes import ChangedText

#: Backslashes in formulas belong to them.
_IN_FORMULA = re.compile(r"(?<!\\)\$|\\[(\[]")
#: Code, which stays as it is; struck words (GitHub's extension of CommonMark, 6.5); a star
#: between letters in bold words, as in Autor*innen, which CommonMark shows (6.2, rules 9 and 10);
#: and the backslash escapes (2.4) that Python-Markdown does not know.
_CODE_OR_STRUCK = re.compile(
    r"(?<!`)(?P<marks>`+)(?!`).*?(?<!`)(?P=marks)(?!`)"
    r"|(?<![\w\\~/<=\"'`])~~(?=[^\s~])(?P<struck>[^~`<>]+)(?<!\s)~~(?![\w~])"
    r"|(?<![\w\\*])\*\*(?P<first>[^\W_](?:[^*`<>\\]*[^\W_])?)\*(?=[^\W_][^*`<>\\]*(?<!\s)\*\*(?![\w*]))"
    r"|\\(?P<escaped>[<&~$\"'@=?%:;,/^])"
    r"|(?<=\])(?P<between>[ ])(?=\[[^\[\]]+\](?!\())"
)
#: Lines that may contain any of these.
_MARKS = re.compile(r"~~|\*\*|\\[<&~$\"'@=?%:;,/^]|\] \[")


def write_line(output: ChangedText, text: str, *, defines_links: bool) -> None:
    """Write a line of text; unchanged if code in it may continue on the next line.

    ``defines_links``: the text contains link reference definitions.
    """
    if not _MARKS.search(text) or "`" in _CODE_OR_STRUCK.sub("", text):
        output.keep(text)
        return
    end, has_formula = 0, bool(_IN_FORMULA.search(text))
    for match in _CODE_OR_STRUCK.finditer(text):
        if match["struck"]:
            output.keep(text[end : match.start()])
            output.replace("~~", "<del>")
            output.keep(match["struck"])
            output.replace("~~", "</del>")
            end = match.end()
        elif match["escaped"] and not has_formula:
            output.keep(text[end : match.start()])
            output.replace(match[0], f"&#{ord(match['escaped'])};")
            end = match.end()
        elif match["between"] and defines_links:
            output.keep(text[end : match.start()])
            output.replace(" ", "&#32;")
            end = match.end()
        elif match["first"]:
            output.keep(text[end : match.end() - 1])
            output.replace("", "\\")
            end = match.end() - 1
    output.keep(text[end:])
