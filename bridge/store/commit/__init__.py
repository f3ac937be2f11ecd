"""Commits that survive a power cut: locks, disk, packs, one transaction."""
