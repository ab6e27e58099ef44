"""Kinds of cases: each file prepares the inputs of a case and returns the work on them."""
