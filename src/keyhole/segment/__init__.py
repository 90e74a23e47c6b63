"""Anatomy from a bare image: our own method for CT, and other tools in their own environments."""
