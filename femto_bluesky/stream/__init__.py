"""Documents in, shots to analyses, documents out. Only here are documents read."""
