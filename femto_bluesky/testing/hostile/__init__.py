"""Hostile input: malformed, or well formed but insane, for every door where input comes in.

`DOORS` has the doors by their names, `passed` gives a door the input of a number and holds it to
the law: nothing comes out but the door's documented errors, nothing takes above a second or 100 MB,
nothing that input brings is run, and no file is touched but in the output directory. `tried` does
so with many inputs and counts them, and `table` makes a table of the counts.
"""

from femto_bluesky.testing.hostile.doors import DOORS
from femto_bluesky.testing.hostile.law import Door, LawBrokenError, Passage, passed
from femto_bluesky.testing.hostile.tables import Row, table, tried

__all__ = ["DOORS", "Door", "LawBrokenError", "Passage", "Row", "passed", "table", "tried"]
