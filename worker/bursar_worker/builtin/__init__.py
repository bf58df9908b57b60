"""The agents that a worker serves when it is given no others; they need no key and no network."""

from bursar.agents import Agent
from bursar.gate.policy import Policy
from bursar_worker.builtin.files import list_files, read_file
from bursar_worker.builtin.reports import write_report

__all__ = ["echo", "reader"]

reader = Agent(
    name="reader",
    model="local:reader",
    description="Reads the files of its workspace folder and reports what they say.",
    instructions=(
        "List the files, read them, and write a report in Markdown that answers the request with "
        "references of the form (path:line). Close with a short summary."
    ),
    tools=[list_files, read_file, write_report],
    policy=Policy(allow=["write_report"]),
)

echo = Agent(
    name="echo",
    model="local:echo",
    description="Says what it is told. For benchmarks and first steps.",
)
