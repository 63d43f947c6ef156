"""What the log says of a head that was refused. Nothing here is for Python: the function stands in `_remains.pxd`."""
