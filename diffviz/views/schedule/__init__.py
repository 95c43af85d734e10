"""Schedules side by side."""
