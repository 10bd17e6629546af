"""The twins that the settings name, each under its name."""

from femto_bluesky.console.simulated_beamline import simulated_devices

devices = simulated_devices(settings, globals())
connect_devices = devices.connect
connect_devices()
