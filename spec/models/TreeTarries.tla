---------------------------- MODULE TreeTarries ----------------------------
EXTENDS Tree, TLC

\* Begins in the middle, as what leads there takes many states: of two sessions both processes have
\* died and all is told, but the second one's client does not take the last of its events.
TwoHaveDied ==
    /\ caller = [c \in Callers |-> "uses"]
    /\ reply = [c \in Callers |-> [state |-> "leased", session |-> c]]
    /\ service = "open"
    /\ poolBox = <<>>
    /\ phase = [s \in Sessions |-> "stopping"]
    /\ waiters = <<>>
    /\ sessionsBox = <<>>
    /\ life = [s \in Sessions |-> "dying"]
    /\ sessionBox = [s \in Sessions |-> <<>>]
    /\ session = [s \in Sessions |-> NoSession]
    /\ transportBox = [s \in Sessions |-> <<>>]
    /\ transport = [s \in Sessions |-> NoTransport]
    /\ down = [s \in Sessions |-> <<>>]
    /\ up = [s \in Sessions |-> <<>>]
    /\ worker = [s \in Sessions |-> NoWorker]
    /\ job = [n \in Numbers |-> "sent"]
    /\ events = <<<<"end">>, <<"output", "end">>>>

BeginsAtTheEnd == TwoHaveDied /\ [][Next]_vars
=============================================================================
