-------------------------- MODULE SnapshotReadsOn --------------------------
EXTENDS Snapshot

\* What is in the socket, or was read of it before the fork, is done by whoever comes to it.
All(sequence) == sequence
IsForAny(n, begun) == TRUE
=============================================================================
