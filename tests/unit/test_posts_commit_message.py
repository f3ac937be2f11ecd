"""Commit messages: readable, and no client can forge a trailer."""

from __future__ import annotations

from bridge.posts.commits import commit_message, shorten


def test_a_message_has_a_subject_and_trailers() -> None:
    message = commit_message(
        "create", "Note: C++ & é", url="https://a.example/x/", client_id="https://quill.p3k.io/"
    )
    assert message == (
        "Note: C++ & é\n\nMicropub-Action: create\nMicropub-Client: https://quill.p3k.io/\n"
        "Post-URL: https://a.example/x/\n"
    )


def test_line_breaks_and_control_characters_cannot_forge_a_trailer() -> None:
    message = commit_message(
        "create",
        "a\nPost-URL: x",
        url="https://a.example/",
        client_id="x\r\nMicropub-Action: d\u2028e",
    )
    assert message.splitlines()[0] == "a Post-URL: x"
    assert sum(line.startswith("Micropub-Action") for line in message.splitlines()) == 1


def test_a_long_subject_is_truncated_at_a_word() -> None:
    assert shorten("one two three four", 12) == "one two…"
    assert shorten("x" * 20, 10) == "x" * 9 + "…"
    assert shorten("short", 10) == "short"


def test_characters_that_belong_together_stay_so() -> None:
    family, want = "👨\u200d👩\u200d👧", "می\u200cخواهم"
    made = commit_message("create", f"{family} {want}\u202e x", url="u", client_id=None)
    assert made.partition("\n")[0] == f"{family} {want} x"
    long = commit_message("create", family * 30, url="u", client_id=None).partition("\n")[0]
    assert long == f"{family * 14}…"
