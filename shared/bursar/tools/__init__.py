"""Tools: Python functions that a model may call."""

from bursar.tools.output import render_output
from bursar.tools.tool import Tool, tool

__all__ = ["Tool", "render_output", "tool"]
