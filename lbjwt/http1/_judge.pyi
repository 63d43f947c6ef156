"""httptools as the judge of a head's grammar. Nothing here is for Python: the functions stand in `_judge.pxd`."""
