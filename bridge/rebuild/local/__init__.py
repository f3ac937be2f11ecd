"""Builds on this machine: checkout, Pelican's log, output folder, deployment."""
