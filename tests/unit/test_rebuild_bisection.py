"""The files that break a build are found only from failing builds."""

from __future__ import annotations

import pytest

from bridge.rebuild.build import BuildFailed, BuildTookTooLong
from bridge.rebuild.local.bisection import Bisection, still_left_out
from bridge.store import BlobId, Difference

POSTS = [f"content/{name}.md" for name in "abcdefgh"]


def isolate(suspects: list[str], bad: set[str], *, named: bool = False) -> tuple[set[str], int]:
    """The files left out in the end, and the number of builds."""
    bisection = Bisection({}, suspects)
    for builds in range(1, 100):
        present = sorted(bad - set(bisection.left_out))
        if present:
            failure = BuildFailed("bad", file=present[0] if named else None)
            if not bisection.failed(failure):
                return set(bisection.culprits) | {"gave up"}, builds
        elif not bisection.built():
            return set(bisection.culprits), builds
    raise AssertionError("it never ends")


def test_nothing_is_left_out_of_a_successful_build() -> None:
    assert isolate(POSTS, set()) == (set(), 1)


def test_a_named_file_costs_one_more_build() -> None:
    assert isolate(POSTS, {POSTS[3]}, named=True) == ({POSTS[3]}, 2)


def test_the_only_suspect_costs_one_more_build() -> None:
    assert isolate(POSTS[:1], {POSTS[0]}) == ({POSTS[0]}, 2)


@pytest.mark.parametrize("bad", POSTS)
def test_one_among_many_is_found(bad: str) -> None:
    found, builds = isolate(POSTS, {bad})
    assert found == {bad}
    assert builds <= 10


def test_several_are_found() -> None:
    assert isolate(POSTS, {POSTS[1], POSTS[2], POSTS[7]})[0] == {POSTS[1], POSTS[2], POSTS[7]}


def test_files_that_are_not_posts_are_not_suspected() -> None:
    assert isolate(["content/media/a.png"], {"pelicanconf.py"})[0] == {"gave up"}


def test_the_search_ends_if_no_post_is_the_cause() -> None:
    found, builds = isolate(POSTS, {"pelicanconf.py"})
    assert found == {"gave up"}
    assert builds == 2


@pytest.mark.parametrize(
    "reason",
    [
        "ValueError: no such locale; before that: Could not process {}",
        "{}.html cannot be made: UndefinedError: 'the post {}' has no attribute 'cover'",
        "{}.html cannot be made: ValueError: day is out of range for month: {}",
    ],
)
def test_files_that_used_to_build_and_now_fail_alike_are_not_the_cause(reason: str) -> None:
    """Without all of them the build would succeed, but the site would be empty."""
    bisection = Bisection({}, [])
    failures = [
        BuildFailed(reason.format(name, number), file=name) for number, name in enumerate(POSTS)
    ]
    assert [bisection.failed(failure) for failure in failures[:4]] == [True, True, True, False]


def test_words_between_two_apostrophes_make_errors_differ() -> None:
    """They are four errors in four posts that are no fault of the site."""
    bisection = Bisection({}, [])
    errors = [
        f"The post can't be {done}, it's broken" for done in ("read", "dated", "shown", "parsed")
    ]
    failures = [BuildFailed(error, file=name) for error, name in zip(errors, POSTS, strict=False)]
    assert all(bisection.failed(failure) for failure in failures)


def test_many_new_posts_may_fail_alike() -> None:
    assert isolate(POSTS, set(POSTS), named=True)[0] == set(POSTS)


@pytest.mark.parametrize(
    "reason",
    [
        "ModuleNotFoundError: No module named 'smartypants'",
        "ImportError: cannot import name 'soft_unicode' from 'markupsafe' (/env/__init__.py)",
    ],
)
def test_a_missing_package_is_not_blamed_on_a_file(reason: str) -> None:
    failure = BuildFailed(reason, file=POSTS[0])
    assert not Bisection({}, []).failed(failure)
    assert Bisection({}, POSTS).failed(failure), "it came with this post"


def test_a_temporary_failure_blames_no_file() -> None:
    bisection = Bisection({}, POSTS)
    assert not bisection.failed(BuildFailed("away", passing=True))
    assert not bisection.left_out


def test_a_single_timeout_blames_no_file() -> None:
    bisection = Bisection({}, POSTS)
    assert bisection.failed(BuildTookTooLong("slow"))
    assert not bisection.left_out
    assert not bisection.built()


def test_the_post_that_makes_every_build_time_out_is_found() -> None:
    bisection, builds = Bisection({}, POSTS), 0
    while True:
        builds += 1
        if POSTS[5] not in bisection.left_out:
            assert bisection.failed(BuildTookTooLong("slow"))
        elif not bisection.built():
            break
    assert bisection.culprits == {POSTS[5]: "slow"}
    assert builds <= 11


def test_without_new_posts_a_timeout_is_retried_later() -> None:
    assert not Bisection({}, ()).failed(BuildTookTooLong("slow"))


LEFT_OUT = {"content/a.md": "bad"}
OLD, NEW = BlobId("1"), BlobId("2")


@pytest.mark.parametrize(
    ("path", "old", "still"),
    [
        ("content/new.md", None, True),
        ("content/a.md", OLD, False),
        ("content/other.md", OLD, False),
        ("pelicanconf.py", OLD, False),
        ("theme/new.html", None, False),
    ],
)
def test_files_are_tried_again_after_relevant_changes(
    path: str, old: BlobId | None, still: bool
) -> None:
    changes = [Difference(path, old, NEW)]
    assert dict(still_left_out(LEFT_OUT, changes, "content/")) == (LEFT_OUT if still else {})
