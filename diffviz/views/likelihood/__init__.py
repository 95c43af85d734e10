"""How likely pictures are, and nonsense."""
