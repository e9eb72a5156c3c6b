"""Strategies: how an architecture is found. Each is one file.

A file has a literal ``STRATEGY`` that says what it is, and two functions: ``search(work)`` trains
what is shared, ``choose(work, trials)`` decides. An entry point of the group
``peftsearch.strategies`` that names such a module adds one.
"""
