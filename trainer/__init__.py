"""DiffViz's engine: diffusion processes, networks, training, sampling, likelihood. No Qt here."""
