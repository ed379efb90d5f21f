---------------------------- MODULE PoolExcuses ----------------------------
EXTENDS Pool

\* Begins in the middle, as what leads there takes three callers at once. Either two starts are under
\* way together; or of three one has failed, which excuses the others, and one has succeeded since,
\* so that the next one is not excused.
Begun(stale) ==
    [template |-> CHOOSE t \in Templates : TRUE, phase |-> "starting", owner |-> None, epoch |-> 1,
     stale |-> stale]
TwoAreUnderWay ==
    /\ config \in Configurations
    /\ \E stale \in BOOLEAN : sessions = <<Begun(stale), Begun(FALSE)>>
    /\ processes = [s \in 1 .. 2 |->
                       [template |-> sessions[s].template, state |-> "starting", used |-> FALSE,
                        mourned |-> FALSE]]
    /\ callers = <<>>
    /\ queue = <<>>
    /\ breakers = [t \in Templates |-> Closed]
    /\ shutting = FALSE

BeginsUnderWay == TwoAreUnderWay /\ [][Next]_vars

\* What is asked here shows itself at once, or never.
Soon == TLCGet("level") <= 9
=============================================================================
