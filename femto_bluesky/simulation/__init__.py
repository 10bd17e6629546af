"""Frames whose truth is known, for devices, documentation and tests alike."""
