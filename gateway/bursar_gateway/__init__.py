"""The gateway: takes input over HTTP, streams results back. It runs no agent code."""
