"""The ground floor: what both daemons and the shell share.

Values, wire commands, TLS, configuration, durable files, the transfer engine and the
shell. May import neither daemon. Which of these modules are pure is written down in
``setup.cfg`` and kept by import-linter.
"""
