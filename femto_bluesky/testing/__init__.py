"""Helpers for the tests of analyses; the package itself never imports them."""
