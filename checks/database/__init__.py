"""Checks of databases."""
