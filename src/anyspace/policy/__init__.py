"""The policy and what it chooses with."""
