"""Examining a deployment: settings, servers, processes, and a booking through all of them."""
