"""The one error that users see."""


class KdmarlError(Exception):
    """Something a user can mend: one sentence naming the thing, its value and the remedy.

    Command lines print the sentence and exit non-zero; nodes log it and stay unconfigured. Anything
    else that escapes is a bug.
    """
