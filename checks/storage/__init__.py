"""Checks of volumes and snapshots."""
