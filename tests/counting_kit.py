"""A module of a site that counts, in all the ways that are told apart."""

#: Ways to count over all pages, in the order in which a clean build writes them.
COUNTING = b"""
import collections, functools, io, os, queue, random
from jinja2.utils import Cycler, Namespace
random.seed(1)
N, ROWS, TALLY, SEEN = 0, collections.deque("abc"), collections.Counter(), {}
BYTES, QUEUE, LINES_OUT, CHANCE = bytearray(), queue.Queue(), io.StringIO(), random.Random(1)
class Pages:
    n = 0
    def __init__(self):
        self.n = 0
    def __call__(self):
        self.n += 1
        return self.n
    @property
    def inside(self, kept=[]):
        kept.append(0)
        return len(kept)
by_call, row = Pages(), Cycler("odd", "even")
def by_global():
    global N
    N += 1
    return N
def by_attribute():
    by_attribute.n += 1
    return by_attribute.n
by_attribute.n = 0
def by_default(kept=[]):
    kept.append(0)
    return len(kept)
def by_closure():
    n = 0
    def count():
        nonlocal n
        n += 1
        return n
    return count
def by_class():
    Pages.n += 1
    return Pages.n
def by_row():
    ROWS.rotate()
    return ROWS[0]
def by_tally():
    TALLY["pages"] += 1
    return TALLY["pages"]
def in_partial(kept):
    kept.append(0)
    return len(kept)
def by_name(name):
    return SEEN.setdefault(name, len(SEEN))
def by_chance():
    return random.random(), CHANCE.random()
def by_buffers():
    BYTES.append(1)
    QUEUE.put(1)
    LINES_OUT.write("1")
    return len(BYTES), QUEUE.qsize(), LINES_OUT.tell()
def by_environment():
    os.environ["PAGES"] = os.environ.get("PAGES", "") + "1"
    return os.environ["PAGES"]
ALL = (by_global, by_attribute, by_default, by_closure(), by_class, by_row, by_tally, by_call,
       by_chance, by_buffers, functools.partial(in_partial, []), row.next)
def number(text):
    return " ".join(str(count()) for count in ALL), by_name(text), by_call.inside
"""
