"""Boards for the simulator's own tests."""
