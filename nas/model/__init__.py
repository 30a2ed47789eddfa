"""A trained network: trained in full, kept, and judged."""
