"""What things are: frozen descriptions without input or output."""
