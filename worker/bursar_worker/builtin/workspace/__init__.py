"""Tools for the files of a session's workspace folder, to put on any agent.

from bursar_worker.builtin.workspace import READING, edit_file, write_file

coder = Agent(name="coder", …, tools=[*READING, write_file, edit_file],
              policy=Policy(allow=["file+write://src/**"]))
"""

from bursar_worker.builtin.workspace.changing import delete_file, edit_file, write_file
from bursar_worker.builtin.workspace.finding import glob, grep
from bursar_worker.builtin.workspace.reading import list_files, read_file
from bursar_worker.builtin.workspace.shell import shell

__all__ = [
    "ALL",
    "READING",
    "delete_file",
    "edit_file",
    "glob",
    "grep",
    "list_files",
    "read_file",
    "shell",
    "write_file",
]

READING = (read_file, list_files, glob, grep)
"""Those that change nothing and need no permission."""
ALL = (*READING, write_file, edit_file, delete_file, shell)
