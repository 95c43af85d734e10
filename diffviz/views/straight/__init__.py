"""How straight a model's ways from noise to images are, and how reflow makes them so."""
