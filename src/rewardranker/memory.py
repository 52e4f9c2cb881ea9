"""Memory that the process has freed and still holds."""

import ctypes


def give_back() -> None:
    """Return freed memory to the operating system, where the C library is glibc; nothing elsewhere.

    Training frees tensors of ever other sizes, between which small objects live on. glibc keeps the gaps,
    which add up over the rounds of PPO and the stages of a run to several times what is in use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
