------------------------ MODULE SnapshotWaitsForEver ------------------------
EXTENDS Snapshot

\* Who was to take the report has given up, and there is nobody else.
Never(p) == FALSE
=============================================================================
