"""Choosing what to ask for."""
