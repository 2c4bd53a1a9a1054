"""Drawings and reports of architectures and searches; import its modules by name."""
