"""Pages and drawings: what a search found and learnt, for people who look at it in a browser."""
