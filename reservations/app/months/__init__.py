"""Retiring a month of reservations to files, and restoring it from them."""
