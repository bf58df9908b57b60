"""Regular expressions whose time grows with the text only, whatever the pattern looks like.

A model writes the patterns of `grep`. Python's own engine goes back and tries again, so that
``(a+)+$`` on one line of thirty letters stops a thread for minutes, and no thread can be stopped.
"""

from bursar.linear.automaton import LinearPattern

__all__ = ["LinearPattern"]
