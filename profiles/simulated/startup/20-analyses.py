"""The analysis with its tables and plots, and what is typed daily. Every profile runs this file."""

from femto_bluesky.console.analyses import start_analyses
from femto_bluesky.console.dark_use import Darks
from femto_bluesky.console.geometries import Geometries
from femto_bluesky.console.kept_sums import keep_sums
from femto_bluesky.console.page import Page
from femto_bluesky.console.regions import Regions
from femto_bluesky.console.showing import Showing
from femto_bluesky.console.sums import Sums

analyses = start_analyses(RE, catalog, devices, settings)
live, plot, witness, darks = analyses.live, analyses.plot, analyses.witness, analyses.darks
bec, derived_bec = analyses.bec, analyses.derived_bec

regions = Regions(live, devices.cameras)
add_roi, move_roi = regions.add_roi, regions.move_roi
delete_roi, list_rois = regions.delete_roi, regions.list_rois

sums = Sums(live, keep_sums(live, settings))
start_accumulation, stop_accumulation = sums.start_accumulation, sums.stop_accumulation
reset_accumulation, undo_reset = sums.reset_accumulation, sums.undo_reset
list_sums = sums.list_sums

geometries = Geometries(live, devices.cameras)
set_geometry, delete_geometry = geometries.set_geometry, geometries.delete_geometry
list_geometries = geometries.list_geometries

use_darks = Darks(live, darks, settings.folder("darks")).use_darks
show = Showing(live, settings.folder("pictures")).show
page = Page(live, settings.page)
