"""Widgets that know nothing of diffusion."""
