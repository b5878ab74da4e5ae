"""Commands that are loaded when asked for."""
