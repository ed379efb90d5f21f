----------------------- MODULE TreeCreationInAcquire -----------------------
EXTENDS Tree

\* The pool holds on to itself until the session that it has begun is created. That is told to
\* nobody but the pool.
PoolTakesUnlessItCreates ==
    /\ \A s \in Sessions : phase[s] # "starting"
    /\ \E message \in FirstOf(poolBox) : \E decided \in {Decided(message)} :
           PoolCarriesOut(decided)
=============================================================================
