"""What `anyspace.rllib` offers that has no other home; only files written for RLlib's old stack need any of it."""
