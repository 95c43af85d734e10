"""When an image becomes what it is."""
