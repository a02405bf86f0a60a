"""How it is kept: Postgres, one module per table with its SQL beside it. No business rule here."""
