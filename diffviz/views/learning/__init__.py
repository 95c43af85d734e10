"""How a model learnt to draw: its checkpoints over the same noise."""
