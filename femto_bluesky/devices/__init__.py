"""The beamline's devices, simulated ones among them."""
