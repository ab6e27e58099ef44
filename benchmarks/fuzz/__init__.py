"""Malformed input for every reader and writer: refused with a reason, or read and written.

A case mutates one of a few small valid inputs and passes it to the public functions that read it.
If it is accepted, a short task runs and the result is written. Each case runs in a process of its
own with limits of time and memory. Cases depend on a seed and their number alone.
"""
