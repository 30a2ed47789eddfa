"""A trained network: trained in full, kept, and judged."""

MODEL = "model"  # its folder, within that of the search
NETWORK, METRICS, CARD = "network.json", "metrics.json", "README.md"  # in it
EXPLAINED = "explain"  # the folder, within a model's, of what `nas explain` writes of it
EXPLANATION = "explain.json"  # there: its figures, and the captions of its pictures
