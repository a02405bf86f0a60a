"""svc-reservations keeps NovaTrek's bookings: commands in by Kafka or REST, one Postgres transaction, events out."""

__version__ = "2.4.1"
