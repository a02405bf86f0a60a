"""The embedded stack: Postgres, a broker, the worker and the gateway, started and kept running on one machine."""
