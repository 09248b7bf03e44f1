"""The alerting rules by theme. Each file has `rules(settings)`; `groups.py` puts them into groups."""
