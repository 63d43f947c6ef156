"""Test cases as data."""
