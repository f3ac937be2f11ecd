"""For all benchmarks: sites of any size (a bare repo with dated folders of short notes), and the
processor time of several processes.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

PELICANCONF = """\
SITEURL = "https://example.com"
AUTHOR = "A"
PLUGINS = ["pelican_indieauth"]
SITENAME = "A"
TIMEZONE = "UTC"
ARTICLE_URL = "{category}/{date:%Y}/{date:%m}/{slug}/"
ARTICLE_SAVE_AS = ARTICLE_URL + "index.html"
STATIC_PATHS = ["media"]
"""
POST = """\
Title: Post {number} about things
Date: {date}
Slug: post-{number}
Category: notes
Tags: tag{few}; other{fewer};
Mf2: {{"type":["h-entry"],"properties":{{}},"title":"synthetic","content":"text"}}

Post {number} has some words in it, about as many as people write on a phone, more or less.
"""


def make_site(repo: Path, posts: int) -> None:
    """A bare repo at ``repo`` with this many posts, three a day, in one commit."""
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(repo)], check=True)
    first = datetime(2000, 1, 1, tzinfo=UTC)
    with subprocess.Popen(
        ["git", "-C", str(repo), "fast-import", "--quiet"], stdin=subprocess.PIPE
    ) as importer:
        assert importer.stdin is not None
        importer.stdin.write(b"commit refs/heads/main\ncommitter A <a@b> 1700000000 +0000\n")
        importer.stdin.write(b"data 1\nx\n")
        importer.stdin.write(_file("pelicanconf.py", PELICANCONF))
        for number in range(posts):
            date = first + timedelta(hours=8 * number)
            text = POST.format(
                number=number, date=date.isoformat(), few=number % 50, fewer=number % 7
            )
            importer.stdin.write(_file(f"content/notes/{date:%Y}/{date:%m}/post-{number}.md", text))
    assert importer.returncode == 0


def _file(path: str, text: str) -> bytes:
    data = text.encode()
    return b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data)


def processor_time(pid: int) -> float:
    """Seconds that a process, its children and theirs have used, ended ones included."""
    ticks, parents = dict[int, int](), dict[int, int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, parent, *fields = stat.read_text().rpartition(") ")[2].split()
            parents[int(stat.parent.name)] = int(parent)
            # utime, stime, and those of children that have ended (proc(5), fields 14 to 17).
            ticks[int(stat.parent.name)] = sum(map(int, fields[9:13]))
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks[each] for each in family) / os.sysconf("SC_CLK_TCK")
