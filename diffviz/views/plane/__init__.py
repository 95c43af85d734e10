"""The method in the plane."""
