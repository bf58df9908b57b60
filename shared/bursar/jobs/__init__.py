"""Jobs: one agent's run over a list of inputs, as one session tree with one purse.

A job is a root session. Its turn asks no model: it opens a sub-agent for each input, a window of
them at a time, and waits without a worker. What the inputs are, and what became of them, stands in
the session's joins until the job is deleted.
"""
