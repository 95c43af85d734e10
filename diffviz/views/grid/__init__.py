"""Any two settings against each other."""
