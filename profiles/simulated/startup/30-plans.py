"""The plans, and what to type. Every profile runs this same file."""

from IPython import get_ipython

from femto_bluesky.console.banner import age_of_process_s, banner
from femto_bluesky.console.shell import (
    close_before_exit,
    show_briefly,
    tell_briefly,
    wait_for_analyses,
)
from femto_bluesky.plans import burst_grid, burst_scan, collect_dark, continuous

close_before_exit(get_ipython(), catalog.close)
close_before_exit(get_ipython(), page.close)
close_before_exit(get_ipython(), sums.close)
wait_for_analyses(get_ipython(), live, darks)  # before all that is closed
# what former prompts left, while the first line is typed; and so is the catalog opened
catalog.take_in()
show_briefly(get_ipython())
tell_briefly(get_ipython(), log_file)
print(
    banner(
        settings, devices, opened,
        next_scan=numbers.last + 1, plots=plots, page=page, log=log, started_s=age_of_process_s(),
    )
)  # fmt: skip
page.start()  # last: another thread needs a second or two for it
