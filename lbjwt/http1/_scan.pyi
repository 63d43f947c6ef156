"""The end, the lines and the lists of a head. Nothing here is for Python: the functions stand in `_scan.pxd`."""
