"""The tests, one file a room."""
