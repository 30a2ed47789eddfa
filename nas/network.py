"""A child network as plain frozen data: its key, its cost figures, its torch module."""
