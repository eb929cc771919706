"""The words of the admin shell, one module per kind of noun; ``common.vocabulary`` joins them.

Pure: imports ``common.verbs`` and nothing else.
"""
