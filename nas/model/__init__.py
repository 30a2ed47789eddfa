"""A trained network: trained in full, kept, and judged."""

MODEL = "model"  # its folder, within that of the search
