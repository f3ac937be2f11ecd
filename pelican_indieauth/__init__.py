"""A Pelican plugin: IndieAuth and Micropub discovery, and microformats2 for any theme."""

from __future__ import annotations


def register() -> None:
    """Connect the plugin to Pelican's signals. Calling it twice has no further effect."""
    from pelican.plugins import signals  # noqa: PLC0415  (importing the plugin must cost nothing)

    from pelican_indieauth import plugin  # noqa: PLC0415 (as above)

    signals.initialized.connect(plugin.initialized)
    signals.get_generators.connect(plugin.get_generators)
    signals.generator_init.connect(plugin.generator_init)
    signals.article_generator_context.connect(plugin.article_generator_context)
    signals.article_generator_pretaxonomy.connect(plugin.article_generator_pretaxonomy)
    signals.page_generator_finalized.connect(plugin.page_generator_finalized)
    signals.all_generators_finalized.connect(plugin.all_generators_finalized)
    signals.content_written.connect(plugin.content_written)
    signals.feed_generated.connect(plugin.feed_generated)
    signals.finalized.connect(plugin.finalized)
