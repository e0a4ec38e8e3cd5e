"""The journal of a desk: reading, writing, archiving."""
