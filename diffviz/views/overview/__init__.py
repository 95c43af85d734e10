"""The method in one dimension."""
