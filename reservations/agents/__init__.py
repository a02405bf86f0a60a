"""How messages come in: Faust agents hand commands to the engine and send events, results and dead letters out."""
