"""Configurations of other products as configurations of lbjwt: ``lbjwt import``."""
