"""The site's own code, run in a confined process: questions to it, and its confinement.

The bridge's process holds tokens and git credentials, so that it runs no code of the site's:
nothing outside of :mod:`bridge.site.pelican` (and of the resident build) imports Pelican, Markdown
or docutils, and nothing here imports that. Read :mod:`.site_reader` first.
"""
