"""A learnt denoiser beside the exact ones of its data."""
