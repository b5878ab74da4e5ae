"""Both APIs as they really are, for tests, rehearsals and measurements."""
