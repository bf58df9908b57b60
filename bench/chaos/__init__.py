"""Crashes on purpose: what was accepted must end once, in order, paid for, and never twice."""
