"""The errors a user can cause. The command line prints them as one sentence and exits with 2."""


class TrilobiteError(Exception):
    """Something the user can mend: the message says what was wrong, where, what would be right."""


class CheckpointError(TrilobiteError):
    """A checkpoint (or a file in it) is missing, damaged, contradictory or not understood."""


class FormatError(TrilobiteError):
    """A number format cannot hold a tensor: its shape, its values or its parameters do not fit."""


class OutputError(TrilobiteError):
    """The output cannot be written: it exists, the disk is full, the folder is not writable."""


class ToolError(TrilobiteError):
    """An outside tool (simulator, compiler) is missing or failed."""


class EstimateError(TrilobiteError):
    """A device, hardware or model description is wrong, or does not fit what is asked of it."""


class PluginError(TrilobiteError):
    """Another package registers something with this one that cannot be used; names the package."""


class HostError(TrilobiteError):
    """A board does not answer, refuses what it is asked for, or ended a run by an error."""
