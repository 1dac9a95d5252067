"""Checks of virtual machines."""
