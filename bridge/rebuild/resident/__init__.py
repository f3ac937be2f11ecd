"""The resident build: one process that keeps Pelican warm.

The bridge talks to it from :mod:`.builder`; everything else in this folder runs in the process
itself (``python -m bridge.rebuild.resident``), so that the bridge never imports Pelican for it.

Read in this order: :mod:`.site` (one build), :mod:`.reading` (what is kept of parsed files),
:mod:`.planning` (which pages there will be), :mod:`.tracing` and :mod:`.facts` (what a page was
made from, and whether that is still so), :mod:`.plugins` (which plugins this bears).
"""
