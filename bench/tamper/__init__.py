"""Is every change of an audit log found? Ten thousand planted ones."""
