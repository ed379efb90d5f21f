----------------------- MODULE SnapshotWaitsForEver -----------------------
EXTENDS Snapshot

\* It waits for a word that nobody is left to send: the zygote has died too, or reported too late.
Never == FALSE
=============================================================================
