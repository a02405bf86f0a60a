"""What is said and decided: commands, events, results, the reservation and its state machine. Pure, no I/O."""
