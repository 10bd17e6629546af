"""Where runs come from: recorded streams, JSON lines, settings files, catalogs."""
