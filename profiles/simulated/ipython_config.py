"""How IPython itself behaves in this profile."""

c = get_config()

c.TerminalInteractiveShell.banner1 = ""
c.TerminalInteractiveShell.confirm_exit = False
c.TerminalInteractiveShell.enable_tip = False
