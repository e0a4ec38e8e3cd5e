"""Whoever answers: language models behind an API or on a server of one's own, and any Python callable."""
