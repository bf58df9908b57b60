"""The agents that a worker serves when it is given no others; they need no key and no network."""

from bursar.agents import Agent
from bursar.gate.policy import Policy
from bursar_worker.builtin.files import list_files, read_file
from bursar_worker.builtin.reports import write_report

__all__ = ["echo", "editor", "excerpter", "reader"]

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

excerpter = Agent(
    name="excerpter",
    model="local:reader",
    description="Reads one file of its workspace folder and says what matters in it.",
    instructions="Read the file that the task names, and report what it says, with references.",
    tools=[read_file],
)

editor = Agent(
    name="editor",
    model="local:editor",
    description="Gives each file of its workspace folder to an agent, and joins their reports.",
    instructions=(
        "List the files, give each of them to a sub-agent, write one report in Markdown of what "
        "they bring, and close with a short summary."
    ),
    tools=[list_files, write_report],
    policy=Policy(allow=["write_report"]),
    subagents=["excerpter"],
    max_output_tokens=8192,
)

echo = Agent(
    name="echo",
    model="local:echo",
    description="Says what it is told. For benchmarks and first steps.",
)
