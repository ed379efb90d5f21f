------------------------- MODULE SnapshotUntagged -------------------------
EXTENDS Snapshot

\* Some snapshot is open, for all that the service knows, and the word does not say which it names.
IsAnyOpen(report) == transaction # 0 \/ (flights # <<>> /\ kind[First] \in {"guarded", "begin"})
=============================================================================
