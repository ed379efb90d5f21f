------------------------- MODULE SnapshotSendsOnce -------------------------
EXTENDS Snapshot

\* The socket is read by one process after the other, and each request is written once.
All(sequence) == SelectSeq(sequence, LAMBDA n : n # Mark)
Nothing(sequence) == <<>>
=============================================================================
