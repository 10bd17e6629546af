"""Settings, windows, catalog, RunEngine. Every profile runs this same file."""

import warnings

from bluesky import plan_stubs as bps
from bluesky import plans as bp
from IPython import get_ipython

from femto_bluesky import Roi, replay
from femto_bluesky.callbacks import LiveAnalysis
from femto_bluesky.console.engine import start_engine
from femto_bluesky.console.logs import log_at_the_prompt
from femto_bluesky.console.opened_catalog import open_for
from femto_bluesky.console.scan_numbers import ScanNumbers, last_in
from femto_bluesky.console.settings import read_beamline, settings_file
from femto_bluesky.console.windows import start_windows

# of its own dependencies, which is of no use here
warnings.filterwarnings("ignore", module="tiled")

settings = read_beamline(settings_file(get_ipython().profile_dir.location))
log_file = settings.folder("log") / "console.log"
log = log_at_the_prompt(log_file)
# before the RunEngine, which looks whether it has windows to draw in
plots = start_windows(get_ipython())
opened = open_for(settings)
catalog = opened.catalog
numbers = ScanNumbers(settings.folder("scan_number"), last_in(catalog))
RE = start_engine(settings, catalog, numbers)
