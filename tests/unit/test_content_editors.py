"""What rich text editors send is shown as its author saw it in them."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from bridge.content.markup.editors import with_elements
from bridge.content.markup.html import sanitise

GOOGLE = "docs-internal-guid-1"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (
            f'<meta charset="utf-8"><b style="font-weight:normal;" id="{GOOGLE}">'
            '<p dir="ltr"><span style="font-size:11pt;font-weight:700">Bold</span>'
            '<span style="font-style:italic"> it</span><span style="font-weight:400;'
            'font-style:normal;text-decoration:none"> plain</span></p></b><b>real</b>',
            f'<span id="user-content-{GOOGLE}"><p dir="ltr"><span><strong>Bold</strong></span>'
            "<span><em> it</em></span><span> plain</span></p></span><b>real</b>",
        ),
        ("<b>x <b style='font-weight:normal'>y</b> z</b>", "<b>x <span>y</span> z</b>"),
        ('<i style="font-style: normal">a</i>', "<span>a</span>"),
        ('<em style="font-weight:bold">a</em>', "<em><strong>a</strong></em>"),
        ('<font style="vertical-align:super">2</font>', "<sup>2</sup>"),
        (
            '<span style="text-decoration: underline line-through">a</span>',
            "<span><s><u>a</u></s></span>",
        ),
        ('<span style="font-weight:bold">a', "<span><strong>a</strong></span>"),
        ('a</span><span title="b">c</span></b>', 'a<span title="b">c</span>'),
        # Quill: lists are flat, of any kind within one <ol>.
        (
            '<ol><li data-list="bullet"><span class="ql-ui"></span>a</li>'
            '<li data-list="bullet" class="ql-indent-1">b</li>'
            '<li data-list="ordered" class="ql-indent-1">c</li>'
            '<li data-list="ordered">d</li><li data-list="checked">e</li>'
            '<li data-list="unchecked">f</li></ol>',
            '<ul><li><span class="ql-ui"></span>a<ul><li>b</li></ul><ol><li>c</li></ol></li></ul>'
            "<ol><li>d</li></ol><ul><li>☑ e</li><li>☐ f</li></ul>",
        ),
        (
            '<ul><li>a</li><li class="ql-indent-1">b <i>c</i></li><li class="ql-indent-3">d</li>'
            "<li>e</li></ul>",
            "<ul><li>a<ul><li>b <i>c</i><ul><li>d</li></ul></li></ul></li><li>e</li></ul>",
        ),
        ('<ol><li data-list="ordered">a</li></ol>', "<ol><li>a</li></ol>"),
        (
            '<p class="ql-align-center">a</p><h2 style="margin:0; text-align: right;">b</h2>',
            '<p align="center" class="ql-align-center">a</p><h2 align="right">b</h2>',
        ),
        ('<p style="text-align:justify">a</p>', "<p>a</p>"),
        # What an alt text has is no element.
        (
            '<span style="font-weight:bold"><img alt="a <b>, </span>">b</span> c',
            '<span><strong><img alt="a &lt;b&gt;, &lt;/span&gt;">b</strong></span> c',
        ),
    ],
)
def test_styles_become_elements(sent: str, shown: str) -> None:
    assert sanitise(sent) == shown
    assert sanitise(shown) == shown


def test_a_list_takes_little_more_memory_than_its_text() -> None:
    words = "a" * 100_000
    sent = f'<ol><li data-list="bullet">{words}<b style="" {words}>b</b></li></ol>'
    tracemalloc.start()
    try:
        assert with_elements(sent) == sent.replace("ol>", "ul>").replace(' data-list="bullet"', "")
        assert tracemalloc.get_traced_memory()[1] < 20 * len(sent), "it took four hundred times"
    finally:
        tracemalloc.stop()


def test_a_style_of_any_length_is_read_at_once() -> None:
    begun = time.process_time()
    style = "text-decoration:" * 20_000
    assert sanitise(f'<span style="{style}">x</span>') == "<span>x</span>"
    assert time.process_time() - begun < 10, "it took minutes"
