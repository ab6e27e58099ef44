"""One card of all results: declared rows, stored one by one, rendered to one page."""
