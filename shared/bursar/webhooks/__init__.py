"""Endpoints of workspaces that are told of events, and the messages that wait for them."""
