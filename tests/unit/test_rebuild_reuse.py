"""The inputs of each page are recorded, and compared with the next build's."""

from __future__ import annotations

import cProfile
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from jinja2 import DictLoader, Undefined
from pelican.contents import Article
from pelican.settings import DEFAULT_CONFIG
from pelican.urlwrappers import Tag

from bridge.rebuild.resident.reuse.inputs import BuildInputs, Opaque, ValueNumbering
from bridge.rebuild.resident.reuse.templates import (
    CompiledTemplates,
    TracingEnvironment,
    forget_classes,
    trace_functions,
)
from bridge.rebuild.resident.reuse.trace import SiteList, Trace, tracing
from pelican_indieauth.entry.urls import Urls
from pelican_indieauth.mentions.mention import Mentions, ShownMention
from pelican_indieauth.mentions.post_mentions import MentionIndex, PostMentions

Names = Mapping[str, Any]


def inputs(numbering: ValueNumbering, names: Names) -> BuildInputs:
    """The facts of a build in which templates find these names."""
    lists: dict[Hashable, SiteList] = {
        name: value for name, value in names.items() if isinstance(value, SiteList)
    }
    context = {"generated_content": {}, "static_content": {}, **names}
    return BuildInputs(numbering, context, lists, lambda _: None)


def environment(**filters: Callable[..., Any]) -> TracingEnvironment:
    made = TracingEnvironment()
    made.filters.update(filters)
    trace_functions(made, lambda _: False)
    return made


def up_to_date(source: str, before: Names, after: Names, **filters: Callable[..., Any]) -> bool:
    """Whether a page made from a template before is up to date after."""
    numbering = ValueNumbering()
    trace = Trace()
    with tracing(trace):
        environment(**filters).from_string(source).render(**before)
    dependencies = inputs(numbering, before).dependencies(trace, {})
    return inputs(numbering, after).still(dependencies, {})


def posts(*names: str) -> dict[str, Any]:
    """A context with a list of the site's."""
    return {"posts": SiteList(names, "posts"), "title": "A site", "unused": object()}


def test_a_filter_of_the_sites_own_is_asked_each_time_even_about_a_constant() -> None:
    """Jinja would ask it once, while it compiles a template that is kept for later builds."""
    kept = CompiledTemplates()
    source = DictLoader({"page.html": "{{ 'x' | latest }} {{ 'y' | upper }}{{ 1 if 2 is new }}"})
    for title in ("First", "Second"):
        made = TracingEnvironment(loader=source, bytecode_cache=kept)
        made.filters["latest"] = lambda text, title=title: f"{text}: {title}"
        made.tests["new"] = lambda number, title=title: title == "Second"
        trace_functions(made, lambda _: False)
        trace = Trace()
        with tracing(trace):
            shown = made.get_template("page.html").render()
        assert shown == {"First": "x: First Y", "Second": "x: Second Y1"}[title]
        assert trace.opaque
    # Plugins call filters, too.
    assert made.filters["latest"]("x") == "x: Second"


BEFORE = posts("a", "b", "c", "d")
MORE = posts("new", "a", "b", "c", "d")
LAST_OTHER = posts("a", "b", "c", "other")


@pytest.mark.parametrize(
    ("source", "more", "last_other"),
    [
        ("nothing", True, True),
        ("{{ title }}", True, True),
        ("{{ missing }}", True, True),
        ("{{ posts[:2] | join }}", False, True),
        ("{{ posts[0] }}", False, True),
        ("{{ posts[3] }}", False, False),
        ("{{ posts[9] }}", True, True),
        ("{% if posts %}some{% endif %}", True, True),
        ("{{ posts | length }}", False, True),
        ("{% for post in posts %}{{ post }}{% endfor %}", False, False),
        (
            "{% for post in posts %}{% if loop.first %}{{ post }}{% endif %}{% endfor %}",
            False,
            False,
        ),
        ("{{ posts | last }}", False, False),
        ("{{ posts | sort | first }}", False, False),
        ("{{ (posts + ['x']) | join }}", False, False),
        ("{{ (['x'] + posts) | join }}", False, False),
        ("{{ 'd' in posts }}", False, False),
        ("{{ posts | batch(2) | list }}", False, False),
        ("{% set some = posts[:1] %}{{ some }}", False, True),
        ("{% macro m() %}{{ posts[1] }}{% endmacro %}{{ m() }}", False, True),
    ],
)
def test_a_page_is_stale_if_the_part_of_a_list_that_it_shows_changed(
    source: str, more: bool, last_other: bool
) -> None:
    assert up_to_date(source, BEFORE, BEFORE)
    assert up_to_date(source, BEFORE, MORE) is more
    assert up_to_date(source, BEFORE, LAST_OTHER) is last_other


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        (1, 1, True),
        (1, 2, False),
        (1, True, False),
        ("1", 1, False),
        ([1, [2]], [1, [2]], True),
        ([1, [2]], [1, [3]], False),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, False),
        ((1,), [1], False),
        (None, False, False),
    ],
)
def test_variables_are_compared(before: Any, after: Any, same: bool) -> None:
    assert up_to_date("{{ x }}", {"x": before}, {"x": after}) is same


def test_an_added_or_removed_variable_counts_as_changed() -> None:
    assert not up_to_date("{{ x }}", {"x": ""}, {})
    assert not up_to_date("{{ x }}", {}, {"x": ""})


def test_a_removed_list_counts_as_changed() -> None:
    assert not up_to_date("{{ posts | length }}", posts("a"), {})


@pytest.mark.parametrize(
    "source",
    [
        "{{ title | clock }}",
        "{{ now() }}",
        "{{ posts | random }}",
        "{{ lipsum() }}",
        "{{ thing }}",
    ],
)
def test_templates_with_untraceable_inputs_have_no_record(source: str) -> None:
    names = {**posts("a"), "now": lambda: "now", "thing": object()}
    with pytest.raises(Opaque):
        up_to_date(source, names, names, clock=lambda value: value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ title.upper() }}",
        "{{ range(3) | list }}",
        "{% set ns = namespace(n=0) %}{% set ns.n = 1 %}{{ ns.n }}",
        "{{ cycler('a', 'b').next() }}",
        "{{ title | e | replace('a', 'b') }}",
        "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(title) }}",
        "{{ {'a': 1}.items() | list }}",
    ],
)
def test_templates_that_only_use_their_context_have_a_record(source: str) -> None:
    assert up_to_date(source, BEFORE, MORE)


class _Clock:
    """What a plugin's objects show depends on more than the objects."""

    def __str__(self) -> str:
        return "now"


class _ClockText(_Clock, str):
    """A text."""


class _ClockNumber(_Clock, int):
    """A number."""


class _ClockNames(_Clock, dict[str, str]):
    """Names and values."""


class _ClockTag(_Clock, Tag):  # type: ignore[misc]
    """A tag."""


class _ClockPair(_Clock, NamedTuple("Pair", [("one", str)])):
    """A tuple."""


@dataclass
class _ClockRecord(_Clock):
    """A record."""

    one: str


@pytest.mark.parametrize(
    "said",
    [
        _ClockText("a"),
        _ClockNumber(1),
        _ClockNames(a="a"),
        _ClockTag("a", dict(DEFAULT_CONFIG)),
        _ClockPair("a"),
        _ClockRecord("a"),
    ],
    ids=["text", "number", "dict", "tag", "tuple", "dataclass"],
)
def test_an_object_that_says_by_itself_what_it_looks_like_has_no_record(said: Any) -> None:
    with pytest.raises(Opaque, match="says by itself"):
        up_to_date("{{ title }}", {"title": said}, {"title": said})


class _Shown:
    """An object of a plugin, whose class has an attribute that instances may override."""

    colour = "grey"

    def __init__(self, **own: str) -> None:
        self.__dict__ |= own


def test_attributes_are_checked_for_each_object() -> None:
    forget_classes()
    _Shown.__module__ = "a_plugin"
    for own, opaque in (({"colour": "red"}, False), ({}, True), ({"colour": "blue"}, False)):
        trace = Trace()
        with tracing(trace):
            environment().from_string("{{ one.colour }}").render(one=_Shown(**own))
        assert bool(trace.opaque) is opaque, own


def test_a_class_changed_by_a_plugin_is_checked_again_in_the_next_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    post = object.__new__(Article)
    post.__dict__ |= {"title": "A", "settings": {}, "status": "published", "metadata": {}}

    def opaque() -> bool:
        forget_classes()
        trace = Trace()
        with tracing(trace):
            page = environment().from_string("{{ post.title }}")
            page.render(post=post)
            page.render(post=post)
        return bool(trace.opaque)

    assert not opaque()
    changed = property(lambda _: "anything", lambda *_: None)
    monkeypatch.setattr(Article, "title", changed, raising=False)
    assert opaque()


def test_repeated_attribute_access_is_cheap() -> None:
    """Attributes of a class are looked up once in a build, not for each access."""
    post = object.__new__(Article)
    post.__dict__ |= {"_status": "published", "settings": {}}
    page = environment().from_string("{% for i in range(n) %}{{ post.status }}{% endfor %}")

    def calls(reads: int) -> int:
        profile = cProfile.Profile()
        with tracing(Trace()), profile:
            page.render(n=reads, post=post)
        return sum(entry.callcount for entry in profile.getstats())

    forget_classes()
    calls(1)
    # The environment's own method and Jinja's below it, and what these two call.
    assert (calls(300) - calls(100)) / 200 <= 16


def test_reads_of_an_include_belong_to_its_page() -> None:

    made = environment()
    made.loader = DictLoader({"part": "{{ posts[0] }}", "page": "{% include 'part' %}"})
    numbering, trace = ValueNumbering(), Trace()
    with tracing(trace):
        made.get_template("page").render(**BEFORE)
    dependencies = inputs(numbering, BEFORE).dependencies(trace, {})
    assert inputs(numbering, LAST_OTHER).still(dependencies, {})
    assert not inputs(numbering, MORE).still(dependencies, {})


def test_nothing_is_recorded_between_pages() -> None:
    trace = Trace()
    with tracing(trace):
        pass
    list(BEFORE["posts"])
    assert not trace.lists


class _Own(Undefined):
    """An undefined value, as a plugin may define it."""

    def __str__(self) -> str:
        return "anything"


@pytest.mark.parametrize(
    ("source", "options"),
    [
        ("{{ title }}", {"finalize": str}),
        ("{{ x }}", {"undefined": _Own}),
        ("{% debug %}", {"extensions": ["jinja2.ext.debug"]}),
    ],
    ids=["finalize", "undefined", "extension"],
)
def test_calls_by_jinja_itself_are_untraceable(source: str, options: dict[str, Any]) -> None:
    trace = Trace()
    with tracing(trace):
        TracingEnvironment(**options).from_string(source).render(**BEFORE)
    with pytest.raises(Opaque):
        inputs(ValueNumbering(), BEFORE).dependencies(trace, {})


class Told(MentionIndex):
    """Mentions that are not in files."""

    likes: tuple[str, ...] = ()

    def __call__(self, path: str) -> Mentions:
        return Mentions(likes=tuple(ShownMention(f"https://{who}.example/") for who in self.likes))

    def version(self, path: str) -> Any:
        return self.likes


Told.__module__ = MentionIndex.__module__


def mentioned(*likes: str) -> Names:
    """A context with one post and its likes."""
    post = object.__new__(Article)
    found = Told({}, Urls("", "", {}, ""), {"likes": "Likes", "mentions-more": ""})
    found.likes = likes
    mentions = PostMentions("a.md", "/a", "%Y", found)
    post.__dict__ |= {"title": "A", "mentions": mentions, "settings": {}}
    return {"post": post, "generated_content": {"a.md": post}}


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ("{{ post.title }}", True),
        ("{{ post.mentions.likes | length }}", False),
        ("{{ post.mentions.count }}", False),
        ("{% if post.mentions %}some{% endif %}", False),
        ("{% for like in post.mentions.likes %}{{ like.url }}{% endfor %}", False),
        ("{{ post.mentions.html() }}", False),
    ],
)
def test_a_page_is_stale_after_a_mention_only_where_it_shows_mentions(
    source: str, same: bool
) -> None:
    assert up_to_date(source, mentioned("amy"), mentioned("amy"))
    assert up_to_date(source, mentioned("amy"), mentioned("amy", "bob")) is same
