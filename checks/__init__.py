"""The shipped checks: what we judge, one folder per category."""
