"""The live page: what a browser shows of an analysis, and how it changes it."""
