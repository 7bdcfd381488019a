"""
All that knows the inside of openai: the overrides of its clients, its resources and its module.

Tried on every openai version that the package allows.
"""
