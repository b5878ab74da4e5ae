"""How events move. Pure: no client library, no vendor, no clock and no I/O of its own."""
