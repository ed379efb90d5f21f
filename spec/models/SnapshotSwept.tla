--------------------------- MODULE SnapshotSwept ---------------------------
EXTENDS Snapshot

\* Two workers of a zygote die at once, and the sweep after the first finds the other one's keeper.
IsNobody(p) == FALSE
=============================================================================
