"""Nothing: everything that checks need belongs to the plugin, so that installed checks run without this file."""
