"""Where Pelican finds the plugin by itself: its namespace for installed plugins.

Kept apart in ``namespace/``, so that no folder of a checkout stands in the way of Pelican's own.
"""

from pelican_indieauth import register

__all__ = ["register"]
