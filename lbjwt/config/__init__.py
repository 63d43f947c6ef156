"""The configuration: its model, and how it is read and written. Nothing is imported here: each caller takes what it needs."""
