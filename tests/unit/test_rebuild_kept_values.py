"""What the site's own code counts is seen, and begins anew in the next build."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from counting_kit import COUNTING
from markdown import Markdown

from bridge.rebuild.resident.pelican.kept_values import KeptValues
from bridge.rebuild.resident.pelican.plugins import is_known_while_writing
from bridge.rebuild.resident.pelican.state import StateWhileReading

#: Further ways, each a function of that name: what it returns is another thing each time.
MORE = b"""
import decimal
class Point(collections.namedtuple("Point", "x")):
    pass
TOTAL, LAST = decimal.Decimal(), Point(0)
def by_another_number():
    global TOTAL
    TOTAL += 1
    return TOTAL
def by_new_variable():
    global LATE
    LATE = globals().get("LATE", 0) + 1
    return LATE
def by_new_attribute():
    by_new_attribute.n = getattr(by_new_attribute, "n", 0) + 1
    return by_new_attribute.n
def by_new_object():
    global LAST
    LAST = Point(LAST.x + 1)
    return LAST.x
def by_property():
    return by_call.inside
def by_names():
    return by_name(str(len(SEEN)))
numbers = Namespace(n=0)
def by_namespace():
    numbers["n"] = numbers.n + 1
    return numbers.n
MAPPED, LISTED, CHAINED = collections.UserDict(), collections.UserList(), collections.ChainMap({})
def by_mapping():
    MAPPED["n"] = MAPPED.get("n", 0) + 1
    return MAPPED["n"]
def by_user_list():
    LISTED.append(0)
    return len(LISTED)
def by_chain():
    CHAINED["n"] = CHAINED.get("n", 0) + 1
    return CHAINED["n"]
CLOSED, PART = by_closure(), functools.partial(in_partial, [])
WAYS = {function.__name__: function for function in
        (by_global, by_attribute, by_default, by_class, by_row, by_tally, by_call.__call__,
         CHANCE.random, by_buffers, row.next, by_another_number, by_new_variable,
         by_new_attribute, by_new_object, by_property, by_names, by_namespace, by_mapping,
         by_user_list, by_chain)}
WAYS |= {"closure": CLOSED, "partial": PART}
"""
#: What each of them changes, by the name that the owner is told; others, what has the way's name.
COUNTED_BY = {
    "by_global": "N",
    "by_attribute": "by_attribute.n",
    "by_class": "Pages.n",
    "by_row": "ROWS",
    "by_tally": "TALLY",
    "__call__": "by_call",
    "random": "CHANCE",
    "by_buffers": "QUEUE",
    "next": "row",
    "by_another_number": "TOTAL",
    "by_new_variable": "LATE",
    "by_new_attribute": "by_new_attribute.n",
    "by_new_object": "LAST",
    "by_property": "Pages.inside",
    "by_names": "SEEN",
    "by_namespace": "numbers",
    "by_mapping": "MAPPED",
    "by_user_list": "LISTED",
    "by_chain": "CHAINED",
    "closure": "by_closure.<locals>.count",
    "partial": "PART",
}
#: Iterators: nothing can have them begin anew.
ITERATORS = {
    "count": "itertools.count()",
    "cycle": "itertools.cycle('ab')",
    "generator": "(n * n for n in range(9))",
    "list_iterator": "iter([1, 2, 3])",
    "enumerate": "enumerate([1, 2, 3])",
}


def module_of(source: bytes) -> ModuleType:
    module = ModuleType("counting")
    exec(source, vars(module))
    return module


def kept_by(module: ModuleType) -> KeptValues:
    values = KeptValues({module.__name__})
    values.note_module(module)
    values.complete()
    return values


def ways() -> dict[str, Callable[[], Any]]:
    return dict(module_of(COUNTING + MORE).WAYS)


@pytest.mark.parametrize("way", ways())
def test_each_way_of_counting_is_seen_and_begins_anew(way: str) -> None:
    module = module_of(COUNTING + MORE)
    count = module.WAYS[way]
    values = kept_by(module)
    assert not values.is_changed()
    first = count()
    assert values.is_changed()
    assert values.changed() == f"counting.{COUNTED_BY.get(way, way)}"
    assert count() != first
    values.restore()
    assert not values.is_changed()
    assert count() == first


@pytest.mark.parametrize("kind", ITERATORS)
def test_an_iterator_that_goes_on_is_named(kind: str) -> None:
    module = module_of(f"import itertools\nkept = {{'it': {ITERATORS[kind]}}}".encode())
    values = kept_by(module)
    assert kind == "cycle" or values.advanced() is None
    next(module.kept["it"])
    assert values.advanced() == (kind, "counting.kept")


def test_what_is_only_looked_at_or_loaded_late_is_unchanged() -> None:
    module = module_of(COUNTING + MORE + b"words = numpy = converter = counter = None")
    values = kept_by(module)
    module.SEEN.get("x")
    module.QUEUE.qsize()
    vars(module).update(N=0, submodule=re, numpy=re, words=re.compile("[a-z]+"))
    vars(module)["converter"] = Markdown()
    assert not values.is_changed()
    assert values.advanced() is None
    values.restore()
    assert vars(module)["submodule"] is re
    assert vars(module)["words"] is None
    vars(module)["counter"] = itertools.count()
    assert values.is_changed()


#: Objects that answer in unusual ways; ``use`` does what does not count.
UNUSUAL = {
    "lazy settings": """
class Lazy:
    @property
    def __class__(self): raise RuntimeError("not configured")
    def __getattr__(self, name): raise RuntimeError("not configured")
kept = Lazy()""",
    "a dictionary with attributes": """
class Attributes(dict):
    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self
    def __getattr__(self, name): return self[name]
kept = [Attributes(values=1, items=2, clear=3, update=4, keys=5)]""",
    "no attribute": """
class Silent:
    def __getattribute__(self, name): raise KeyError(name)
kept = Silent()""",
    "an empty and a private slot": """
class Slots:
    __slots__ = ("__private", "empty", "__weakref__")
    def __init__(self): self.__private = 1
kept = Slots()
def use():
    kept.empty = 1
    del kept.empty""",
    "a strict metaclass": """
class Strict(type):
    def __getattr__(cls, name): raise KeyError(name)
    def __setattr__(cls, name, value): raise TypeError
class Made(metaclass=Strict):
    n = 1
kept = Made()""",
    "no equality": """
class Array:
    def __eq__(self, other): raise ValueError
    __hash__ = object.__hash__
    __bool__ = __len__ = __repr__ = __eq__
def endless():
    array = Array()
    while True: yield array
kept = [{Array()}, {"a": Array()}, Array(), endless()]
next(kept[-1])""",
    "a cached property": """
import functools
class Cached:
    @functools.cached_property
    def words(self): return ["a"]
kept = Cached()
def use(): kept.words""",
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_object_is_looked_at_without_harm(kind: str) -> None:
    module = module_of(UNUSUAL[kind].encode())
    values = kept_by(module)
    vars(module).get("use", int)()
    assert not values.is_changed()
    assert values.advanced() is None
    values.restore()
    assert "words" not in (vars(module.kept) if kind == "a cached property" else {})


def test_slots_and_variables_are_restored_past_what_guards_them() -> None:
    module = module_of(b"""
class Frozen:
    __slots__ = ("n",)
    def __init__(self): object.__setattr__(self, "n", 0)
    def __setattr__(self, name, value): raise TypeError
class Later:
    __slots__ = ("n",)
class Rows(list):
    n = 0
frozen, later, rows, N = Frozen(), Later(), Rows(), 1
def __getattr__(name): raise KeyError(name)
""")
    values = kept_by(module)
    object.__setattr__(module.frozen, "n", 1)
    assert values.is_changed()
    values.restore()
    assert module.frozen.n == 0
    module.later.n = 1
    assert values.is_changed()
    values.restore()
    assert not hasattr(module.later, "n")
    module.rows.n = 1
    assert values.is_changed()
    values.restore()
    assert module.rows.n == 0
    del module.N
    assert values.is_changed()
    values.restore()
    assert module.N == 1


def test_reading_is_compared_unless_it_would_take_long_in_every_build(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = module_of(b"SEEN = []")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    site: Any = SimpleNamespace(plugins=[module])

    def counted(state: StateWhileReading, files: int) -> int:
        state.begin_build()
        number = 0
        for _ in range(files):
            state.begin()
            module.SEEN.append(0)
            number += state.is_changed()
        return number

    state = StateWhileReading(site, Path("elsewhere"))
    assert [counted(state, 100), counted(state, 150)] == [100, 150]
    # More files than are compared: the next build need not read these again.
    assert 150 < counted(state, 300) < 300
    assert counted(state, 5) == 0
    module.SEEN.extend(range(30_000))
    assert counted(StateWhileReading(site, Path("elsewhere")), 5) == 0


def test_a_plugin_whose_name_begins_like_a_known_one_is_not_known() -> None:
    assert is_known_while_writing("pelican.plugins.seo.seo_report")
    assert not is_known_while_writing("pelican.plugins.seo_counter")
