"""What upstream is: documents, signatures, products, and what of them is wanted.

``simplestreams``, ``catalogue`` and ``matching`` are pure; ``signatures`` runs GnuPG and
``documents`` fetches. Knows neither the store nor anything above it.
"""
