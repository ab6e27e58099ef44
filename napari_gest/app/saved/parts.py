"""What writing and reading of saved results share."""

TREE, ARRAYS = "result.json", "arrays.npz"  # the files of a result


class MissingError(Exception):
    """What a result refers to is not there, such as a section that was only in memory."""
