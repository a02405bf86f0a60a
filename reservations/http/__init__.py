"""The thin gateway: REST to commands, reads to SQL, OpenAPI."""
