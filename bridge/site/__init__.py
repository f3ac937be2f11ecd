"""The site's own code, kept in a process of its own: what it is asked, and how it is confined.

The bridge's process holds tokens and git credentials, so that it runs no code of the site's:
nothing outside of :mod:`bridge.site.pelican` (and of the resident build) imports Pelican, Markdown
or docutils, and nothing here imports that. Read :mod:`.protocol` first.
"""
