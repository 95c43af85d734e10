"""Noising beside denoising."""
