"""Keeps reports in a SQLite file until they are delivered."""
