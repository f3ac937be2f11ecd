"""The remote catches up with the bridge, and the bridge with the remote."""
