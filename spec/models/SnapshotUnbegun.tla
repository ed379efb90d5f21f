-------------------------- MODULE SnapshotUnbegun --------------------------
EXTENDS Snapshot

\* Some snapshot was asked for, for all that the service knows, and it takes the one that there is.
MaySurviveAnything == transaction # 0 \/ (First # 0 /\ kind[First] = "guarded")
=============================================================================
