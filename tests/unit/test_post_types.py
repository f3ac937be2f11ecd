"""The lists of post types in the bridge and in the plugin are equal."""

from __future__ import annotations

from bridge.desk.compose import fields
from bridge.micropub import post
from bridge.settings import DEFAULT_CATEGORIES
from pelican_indieauth.entry import kinds

TYPES = {each.type for each in post.POST_TYPES}


def test_the_plugin_discovers_types_as_the_bridge_does() -> None:
    assert list(kinds.BY_URL.items()) == list(post.BY_URL.items())
    assert list(kinds.BY_PRESENCE.items()) == list(post.BY_PRESENCE.items())
    assert kinds.THING == post.THING
    assert kinds.RSVP == post.RSVP


def test_the_plugin_knows_every_type_that_apps_are_offered() -> None:
    # An h-product and an h-resume come from apps that know them; no form offers them.
    assert TYPES | {"product", "resume"} == kinds.KINDS


def test_a_type_of_its_own_class_has_that_class_in_the_plugin() -> None:
    for each in post.POST_TYPES:
        if each.h != "entry":
            assert kinds.ROOTS[f"h-{each.h}"] == each.type


def test_a_property_that_marks_a_type_is_one_of_its_properties() -> None:
    for each in post.POST_TYPES:
        assert not each.mark or each.mark in each.properties, each.type


def test_the_desk_has_a_form_for_each_type_and_categories_are_of_known_types() -> None:
    assert set(fields.KINDS) == TYPES
    assert set(DEFAULT_CATEGORIES) <= kinds.KINDS
