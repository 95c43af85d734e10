"""Copies or creations: what models draw that learnt from other images."""
