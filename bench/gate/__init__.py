"""What the gate costs, what it takes for a right, and how soon a revoked right is gone."""
