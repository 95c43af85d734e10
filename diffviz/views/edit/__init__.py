"""Steering a trained model."""
