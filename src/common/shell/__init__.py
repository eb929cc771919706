"""The admin shell ``rackferry``: grammar, rendering, the local commands and ``main``.

Everything it can ask is in ``common.vocabulary``. Imports neither daemon.
"""
