"""The admin socket's door: one method per word of ``common.words``, and nothing more.

A question was checked against the vocabulary before it comes here, so ids and parameters
are there and have their types; what they mean is the use-cases' business. Imports
use-cases, never the store.
"""
