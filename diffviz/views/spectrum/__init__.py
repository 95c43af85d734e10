"""Which frequencies are drowned and found again."""
