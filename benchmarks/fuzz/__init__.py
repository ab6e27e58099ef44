"""Malformed input for every reader and writer: refused with a reason, or read and written whole.

A case mutates one of a few small valid inputs, hands it to the public functions that read it and,
where it is accepted, goes on to a short task and back to disk. Each case runs in a process of its
own with limits of time and memory. Cases are drawn from a seed and their number alone.
"""
