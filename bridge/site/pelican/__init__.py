"""Everything that imports Pelican, Markdown or docutils to read a site. Runs in its process.

:mod:`.pelican_site` asks Pelican; :mod:`.serve` is the program. The bridge's process imports none
of it.
"""
