"""Published methods, run by their original programs in environments of their own."""
