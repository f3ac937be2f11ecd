"""The plugin's texts in English; a site can replace them by its own language's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pelican_indieauth.errors import SettingError

_SETTING = "INDIEAUTH_WORDS"

ENGLISH: Mapping[str, str] = {
    "in-reply-to": "In reply to",
    "like-of": "Liked",
    "repost-of": "Reposted",
    "bookmark-of": "Bookmarked",
    "read-of": "Read",
    "watch-of": "Watched",
    "listen-of": "Listened to",
    "play-of": "Played",
    "jam-of": "Jam:",
    "follow-of": "Follows",
    "tag-of": "Tagged",
    "quotation-of": "Quoted",
    "issue-of": "Issue about",
    "mention-of": "Mentions",
    "rsvp": "RSVP",
    "rsvp-yes": "Going to",
    "rsvp-no": "Not going to",
    "rsvp-maybe": "Maybe going to",
    "rsvp-interested": "Interested in",
    "to-read": "Wants to read",
    "reading": "Reading",
    "finished": "Finished",
    "item": "Review of",
    "rating": "Rating",
    "best": "of",
    "author": "by",
    "guests": "Written by",
    "category": "With",
    "checkin": "At",
    "syndication": "Also on",
    "sensitive": "Sensitive content",
    "ingredient": "Ingredients",
    "instructions": "Instructions",
    "yield": "Yield",
    "nutrition": "Nutrition",
    "duration": "Duration",
    "ate": "Ate",
    "drank": "Drank",
    "weight": "Weight",
    "workout": "Workout",
    "mood": "Mood",
    "itinerary": "Itinerary",
    "website": "Website",
    "moved": "This post has moved",
    "gone": "This post was deleted",
    "replies": "Replies",
    "likes": "Likes",
    "reposts": "Reposts",
    "bookmarks": "Bookmarks",
    "rsvps": "RSVPs",
    "mentions": "Mentions",
    "mentions-more": "And {count} more",
    "answer-yes": "is coming",
    "answer-no": "is not coming",
    "answer-maybe": "may come",
    "answer-interested": "is interested",
    "mention-form": "Have you written a reply on your own site? Its address:",
    "mention-send": "Send",
}


def words(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """The texts, with those of the site's settings in place of the English ones.

    Raises :class:`SettingError`.
    """
    own = settings.get(_SETTING)
    if not own:
        return ENGLISH
    if not isinstance(own, Mapping):
        raise SettingError(_SETTING, own, "is not a dictionary", "Write {'like-of': 'Mag', ...}")
    for name, word in own.items():
        if name not in ENGLISH or not isinstance(word, str):
            remedy = f"Use texts for any of {', '.join(ENGLISH)}"
            raise SettingError(_SETTING, {name: word}, "is not a known key", remedy)
    return {**ENGLISH, **own}
