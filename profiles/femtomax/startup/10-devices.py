"""The devices that the settings name, each under its name."""

from femto_bluesky.console.epics_beamline import epics_devices

devices = epics_devices(settings, globals())
connect_devices = devices.connect
connect_devices()
