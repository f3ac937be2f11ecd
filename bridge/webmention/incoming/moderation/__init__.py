"""Whether a mention is shown: the owner's decisions and rules."""
