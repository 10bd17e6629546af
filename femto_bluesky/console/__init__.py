"""A beamline at the prompt: what the IPython profiles are made of."""
