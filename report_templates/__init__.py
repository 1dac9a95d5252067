"""The shipped templates: what reports say."""
