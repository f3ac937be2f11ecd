"""OAuth and IndieAuth: authorization, consent, grants and tokens."""
