"""The drill: a server is lost under load, restored to a moment, and compared with a ledger of what was committed."""
