"""How an algorithm is written into a checkpoint, and read back: its parts, its configuration, and its code."""
