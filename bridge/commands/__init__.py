"""What the owner types: ``micropub-bridge`` and its sub-commands."""
