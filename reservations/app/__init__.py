"""Composition: settings, processes, database pools, topics, metrics, logging, command line, embedded stack."""
