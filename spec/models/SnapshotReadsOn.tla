-------------------------- MODULE SnapshotReadsOn --------------------------
EXTENDS Snapshot

\* What is in the socket, or was read of it before the fork, is done by whoever comes to it, though
\* it is sent again.
All(sequence) == SelectSeq(sequence, LAMBDA n : n # Mark)
=============================================================================
