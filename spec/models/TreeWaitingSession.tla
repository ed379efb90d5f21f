------------------------- MODULE TreeWaitingSession -------------------------
EXTENDS Tree

\* The session hands down all that it has, and takes nothing while a message of its own stands
\* before the transport's mailbox.
SessionTakesUnlessItWaits(s) ==
    /\ Outside(transportBox[s], TransportMailbox) = {}
    /\ \E message \in FirstOf(sessionBox[s]) : \E decided \in {Concluded(s, message)} :
           SessionCarriesOut(s, decided)

\* The transport's command task takes nothing while the socket is full.
TransportTakesUnlessItWaits(s) ==
    /\ Len(down[s]) < SocketRoom
    /\ \E message \in FirstOf(transportBox[s]) : TransportCarriesOut(s, message)
=============================================================================
