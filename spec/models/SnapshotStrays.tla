-------------------------- MODULE SnapshotStrays --------------------------
EXTENDS Snapshot

\* Whoever comes to a request does it. It was asked before its transaction was known to be over.
IsForAny(n, open) == TRUE
=============================================================================
