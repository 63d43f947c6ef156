"""The configuration: its model, how it is read and written, and what is asked of it. Nothing is imported here: each door takes what it needs."""
