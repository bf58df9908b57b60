"""One command a figure: ``python -m bench.<name>``. Each measures us and its anchor in one run."""
