"""Posts and their types, which must be the same in the bridge and in the plugin."""

from __future__ import annotations

from bridge.micropub.post import Json

URL = "https://example.org/post"
CITE: Json = {"type": ["h-cite"], "properties": {"url": [URL], "name": ["A post"]}}
CARD: Json = {"type": ["h-card"], "properties": {"name": ["Café"]}}
BOOK: Json = {"type": ["h-cite"], "properties": {"name": ["B"], "author": ["Ann"]}}

#: Properties, each with one value (``_`` stands for ``-``), and the resulting type.
CASES: list[tuple[dict[str, Json], str]] = [
    ({"content": "Hello"}, "note"),
    ({"name": "Title", "content": "Text"}, "article"),
    ({"in_reply_to": URL, "content": "x"}, "reply"),
    ({"in_reply_to": URL, "rsvp": "yes"}, "rsvp"),
    ({"in_reply_to": URL, "rsvp": "Maybe"}, "rsvp"),
    ({"in_reply_to": URL, "rsvp": "perhaps"}, "reply"),
    ({"like_of": URL}, "like"),
    ({"like_of": CITE}, "like"),
    ({"like_of": {"value": URL}}, "like"),
    ({"repost_of": URL, "content": "x"}, "repost"),
    ({"bookmark_of": URL, "name": "Theirs", "content": "Good"}, "bookmark"),
    ({"photo": "{static}/media/a.jpg", "content": "x"}, "photo"),
    ({"photo": {"value": "a.jpg", "alt": "x"}, "name": "T", "content": "y"}, "photo"),
    ({"video": URL, "photo": URL}, "video"),
    ({"audio": URL, "name": "Episode", "content": "x"}, "audio"),
    ({"checkin": CARD, "photo": URL}, "checkin"),
    ({"read_of": CARD, "read_status": "finished"}, "read"),
    ({"item": CARD, "rating": "5", "content": "x"}, "review"),
    ({"in_reply_to": URL, "like_of": URL}, "like"),
    ({"in_reply_to": URL, "repost_of": URL, "content": "x"}, "repost"),
    ({"checkin": CARD, "read_of": CARD}, "read"),
    ({"like_of": "no address", "content": "x"}, "note"),
    ({"like_of": CARD, "content": "x"}, "note"),
    *[
        ({f"{name}_of": BOOK, "photo": "a.jpg", "content": "x"}, name)
        for name in ("bookmark", "like", "repost", "read", "watch", "listen")
    ],
    ({"in_reply_to": BOOK, "content": "x"}, "reply"),
    ({"bookmark_of": {"type": ["h-product"], "properties": {"uid": ["isbn:1"]}}}, "bookmark"),
    ({"like_of": BOOK, "in_reply_to": URL, "content": "x"}, "reply"),
    ({"like_of": {"type": ["h-cite"], "properties": {}}, "content": "x"}, "note"),
    ({"rsvp": "perhaps", "content": "x"}, "note"),
    ({"rsvp": "yes"}, "rsvp"),
    ({"jam_of": URL}, "jam"),
    ({"play_of": CITE, "content": "x"}, "play"),
    ({"ate": CARD}, "eat"),
    ({"drank": CARD, "photo": URL}, "photo"),
    ({"drank": "Tea"}, "drink"),
    ({"follow_of": URL}, "note"),
]
