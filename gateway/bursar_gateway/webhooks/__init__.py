"""Messages to the endpoints of workspaces: who sends which one when, and where to.

Any number of gateways deliver. What happens stands in an outbox; `courier` hands it over to the
endpoints that want it and finds those that are due, `line` works off what waits for one of them,
`sending` brings a message there, and `guard` sees to it that nobody is sent where no tenant may.
"""
