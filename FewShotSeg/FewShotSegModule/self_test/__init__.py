"""The module's test of itself inside the application."""
