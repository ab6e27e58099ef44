"""Other people's methods, run for real in environments of their own."""
