"""The audit log: who did what, who was allowed to, and how everybody can tell that it is whole.

Entries are numbered without gaps and written in the script of the thing that they record. A sealer
links them into a chain of hashes and signs its head every few seconds, so that whoever cannot sign
cannot change what was sealed without a trace.
"""
