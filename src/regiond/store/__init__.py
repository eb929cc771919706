"""The database. This package alone knows SQL.

Query functions are synchronous, take a connection first, and return attrs values, never
rows. ``database`` runs them in transactions on named threads. Imports ``common``, and of
``sources`` the value that a stored document is.
"""
