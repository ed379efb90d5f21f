---------------------------- MODULE PoolGivesWay ----------------------------
EXTENDS Pool

\* Begins in the middle, as what leads there takes many states: each place is taken by an idle
\* session of one template, and the other starts well, is being tried again, or failed once.
Tried == [position |-> "half_open", failures |-> config.breaker_failures, paused |-> FALSE]
FailedOnce == [position |-> "closed", failures |-> 1, paused |-> TRUE]
FullOfIdle ==
    /\ config \in Configurations
    /\ \E t \in Templates :
          /\ sessions = [s \in 1 .. MaxSessions |->
                            [template |-> t, phase |-> "idle", owner |-> None, epoch |-> 1,
                             stale |-> FALSE]]
          /\ processes = [s \in 1 .. MaxSessions |->
                             [template |-> t, state |-> "ready", used |-> FALSE, mourned |-> FALSE]]
          /\ breakers \in {each \in [Templates -> {Closed, Tried, FailedOnce}] : each[t] = Closed}
    /\ callers = <<>>
    /\ queue = <<>>
    /\ shutting = FALSE

BeginsFull == FullOfIdle /\ [][Next]_vars

\* What is asked here shows itself at once, or never.
Soon == TLCGet("level") <= 9
=============================================================================
