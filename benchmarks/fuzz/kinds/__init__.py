"""What can be fuzzed: each file prepares the inputs of a case and returns the work on them."""
