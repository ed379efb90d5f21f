"""What the command says about itself. Text only."""

HELP = """\
PyREPL3 runs Python in a session: a process of its own, watched over by this command.

Usage:
  pyrepl3                          a prompt, on a terminal; otherwise run what is piped in
  pyrepl3 -c CODE [ARGUMENT...]    run code
  pyrepl3 run FILE [ARGUMENT...]   run a script
  pyrepl3 - [ARGUMENT...]          run the standard input
  pyrepl3 serve [--port PORT]      let clients use sessions over a WebSocket; serve --help tells all
  pyrepl3 session ACTION           create, ls, info, attach, logs, interrupt, history, undo, redo,
                                   fork, snapshot, close … sessions of a service
  pyrepl3 exec SESSION -c CODE     run code in one of them; session --help tells all
  pyrepl3 cp FILE SESSION:PATH     copy a file into its directory; the other way round out of it
  pyrepl3 console [--open]         a link to the service's page, for a browser
  pyrepl3 --connect URL [--session NAME]
                                   a prompt in a session of a service; session --help tells all
  pyrepl3 doctor [--json]          what this machine offers, and whether sessions start
  pyrepl3 spec check TRACE...      hold a recording of the service to its specification
  pyrepl3 --help | --version

  pyrepl3 --record-trace FILE ...  any of the first five: record what the service does for it.
                                   pyrepl3 spec --help tells more

Try:
  pyrepl3 -c 'import sys; print(sys.argv)' one two
  echo 'print(6 * 7)' | pyrepl3
  pyrepl3 run examples/quickstart.py
  pyrepl3 doctor

At the prompt:
  Enter       runs the code when it is complete; otherwise it begins the next line, indented
  Tab         completes from what the session holds now
  %begin      from here on all is one transaction; %rollback undoes it, %commit keeps it, and a
              crash goes back to its beginning
  %history N  from here on the last N pieces of code can be undone; without N: shows them, and
              what they cost. %undo undoes the last one, %undo N all that came after cell N;
              %redo has the next one back, until something new runs
  %fork       goes on in a copy of the session, to try something; %back ends it, and goes on in the
              session as it was
  %report     shows from now on which names the code added (+), changed (~) and removed (-); once
              more: it does not
  %help       shows this
  ?name       shows signature and docstring (name? does, too)
  Ctrl-C      clears the line; while code runs: interrupts it and keeps the variables.
              Once more, where it does not stop: ends its session in 3 seconds
  Ctrl-D      leaves, as exit() and quit() do, with their status
  Plots and pictures are saved as files, whose paths are printed: a terminal cannot draw them.
  What a thread prints while nothing runs is shown when the next code runs.
  Lines are kept in $XDG_STATE_HOME/pyrepl3/history (~/.local/state/pyrepl3/history),
  readable by you alone. NO_COLOR=1 turns colours off.

Scripts run as python runs them: arguments, environment, directory, standard streams, tracebacks,
exit handlers. No deadline and no limit is added. What differs: processes that a script leaves
behind end with it, and `await` works at the top level.

Exit status: python's. 0; 1 after an uncaught exception; what sys.exit() was given; 2 for a command
line that cannot be understood, or a file that cannot be read; 130 after Ctrl-C; 128 + N when
signal N ended the script.
"""

PROMPT_HELP = HELP[HELP.index("At the prompt:") : HELP.index("\nScripts run")]

SERVE_HELP = """\
Lets clients open sessions and run code in them: over a WebSocket, at ws://127.0.0.1:8765/v1/ws, or
over HTTP, as http://127.0.0.1:8765/docs shows.

Usage:
  pyrepl3 serve [OPTION...]

Where:
  --host HOST              the address to listen on: 127.0.0.1, so that this machine alone comes in
  --port PORT              8765; 0 for any that is free
  --tls-cert FILE          the certificate chain, PEM: speak TLS
  --tls-key FILE           its private key, PEM
  --insecure-bind          listen for other machines without TLS, as behind a proxy that has it
  --allow-host NAME        a further name that it goes by (the Host header); may come several times
  --allow-origin ORIGIN    a further origin whose pages may use it; may come several times

Who:
  --token-file FILE        $XDG_STATE_HOME/pyrepl3/token (~/.local/state/pyrepl3/token); where there
                           is none it is made, with a new token (the directory of a FILE has to be
                           there). It holds one token, or several principals:
                             [principals.ada]
                             token = "..."            32 characters or more
                             role = "user"            or "admin"
                             max_sessions = 10        at a time
                             max_connections = 20     at a time
  --token-fd N             read that from this descriptor instead

Sessions:
  --min-idle N             how many are kept ready: 2
  --max-sessions N         how many there may be at a time: 100
  --record-trace FILE      record what the service does; pyrepl3 spec --help tells more

Logs:
  --log-format FORMAT      console: lines for people, on the standard error; json: an object a line,
                           on the standard output. Without it console on a terminal, else json
  --log-level LEVEL        debug, info, warning or error: info

Each session is a process of its own, with the rights of the user who runs this.

Try:
  pyrepl3 serve
  pyrepl3 serve --port 0 --min-idle 4

People come in by a browser: on a terminal a link to the service's page is printed, which signs in
once; `pyrepl3 console` prints another.

Ctrl-C or SIGTERM ends it: nobody more is let in, and what runs has 10 seconds to end; once more
ends it at once.

Exit status: 0 after SIGTERM; 130 after Ctrl-C; 1 where it cannot serve; 2 for a command line that
cannot be understood.
"""

SESSION_HELP = """\
Sessions of a running service (pyrepl3 serve), from a shell. A session keeps its variables between
commands, and goes on when a command ends.

Usage:
  pyrepl3 session create [--name NAME] [--template TEMPLATE]     prints its id, or its name
                         [--from-snapshot NAME]
  pyrepl3 session ls [--json]
  pyrepl3 session info SESSION                                   as JSON
  pyrepl3 session attach SESSION                                 follow it, as at a terminal
  pyrepl3 session logs SESSION [--since SEQ] [--follow | -f]     what was printed in it
  pyrepl3 session interrupt SESSION                              what runs in it
  pyrepl3 session history SESSION [--keep N] [--json]            what can be undone in it; from
                                                                 here on the last N
  pyrepl3 session undo SESSION [--to EXECUTION]                  the last execution, or all after
                                                                 that one; prints the first's id
  pyrepl3 session redo SESSION                                   has the next one back
  pyrepl3 session fork SESSION [--count N]                       opens N with its state; prints
                                                                 their ids
  pyrepl3 session snapshot SESSION --name NAME                   keeps its state: create
                                                                 --from-snapshot NAME opens others
  pyrepl3 session snapshots [--json]                             those that are kept
  pyrepl3 session drop --name NAME                               keeps that one no longer
  pyrepl3 session close SESSION

  pyrepl3 exec SESSION -c CODE         run code in it: shows what is printed, then the value
  pyrepl3 exec SESSION - < FILE        run the standard input
    --policy POLICY                    rollback_on_failure: undo it where it fails;
                                       rollback_always: show what it does, and undo it;
                                       commit_always; explicit (as the session's transaction ends)
    --guard                            if the process dies, go on with the variables from before
    --guard=auto                       the same, from the last copy that was cheap enough: what is
                                       lost with it is named
    --allow-copy                       where the process cannot be copied (threads run in it), copy
                                       its variables, for the policy
    --report                           show which names it added (+), changed (~) and removed (-)

  pyrepl3 cp FILE SESSION:PATH         copy a file into the directory that it was started in
  pyrepl3 cp SESSION:PATH FILE         and out of it; - is the standard input, or output. A file is
                                       there when it is whole, and its checksum is compared

  pyrepl3 console [--open]             a link that signs a browser in to the service's page, once
                                       and within 5 minutes; --open opens it

  pyrepl3 --connect URL [--session NAME]     a prompt, in a new session that is closed when you
                                             leave; or in that one, opened where there is none,
                                             which goes on. --session NAME alone: at PYREPL3_URL

Code has the deadline of the service's sessions, also at their prompt: 30 seconds, unless a program
that serves chose otherwise (Limits.execution_timeout_s). Then it is interrupted, and the variables
are kept. RemoteSession.run and REST take a timeout_s of your own for each execution.

Attached, you see what runs, whoever has it run, from the beginning of what runs now. A line that
you type answers input(). Ctrl-C interrupts what runs; once more within two seconds it leaves, and
so does Ctrl-D. The session goes on.

exec, attach and logs say so when the connection is lost, and connect again. Until then Ctrl-C
leaves, and what runs may go on; so does a second Ctrl-C of exec at any time.

At the prompt of a session the keys are those of pyrepl3 alone. A lost connection is made again;
until then the prompt says so, and what runs goes on. Ctrl-C without a connection interrupts as
soon as there is one; once more it leaves. Exit handlers of the session run when it ends.

SESSION is an id, or the name that it was given. All of these take:
  --connect URL        the service; without it PYREPL3_URL, or http://127.0.0.1:8765
  --token-file FILE    without it PYREPL3_TOKEN_FILE, or the file of this user's pyrepl3 serve.
                       A file that others can read is refused

Try:
  pyrepl3 serve &
  pyrepl3 session create --name mine
  pyrepl3 exec mine -c 'x = 6'
  pyrepl3 exec mine -c 'x * 7'
  pyrepl3 session close mine

Exit status of exec and of the prompt: python's; of attach 0, or 130 after Ctrl-C twice. Otherwise
0; 1 where the service refused, or cannot be reached, or a file cannot be read or written; 2 for a
command line that cannot be understood; 130 after Ctrl-C.
"""

SPEC_HELP = """\
The service's pool and sessions are specified in TLA+, and a recording of what they really did can
be held to that: TLC, the model checker, says whether the specification allows every step of it.

Usage:
  pyrepl3 spec check TRACE... [--json] [--min-coverage PERCENT] [--keep DIR]

Make a recording:
  pyrepl3 --record-trace trace.ndjson -c 'print(1)'          by the command
  pyrepl3.Config(record_trace="trace.ndjson")                by a program of yours

Check it:
  python -m pip install 'pyrepl3[spec]'                      once: TLC, and a Java to run it
                                                             ('.[spec]' in a clone)
  pyrepl3 spec check trace.ndjson

A recording holds ids and numbers only, never code or output. One that stops in the middle, because
the service was killed or its disk was full, is a beginning, and is checked as that. Several are
checked faster together than one by one.

Options:
  --json                   the verdict as JSON
  --min-coverage PERCENT   fail also when the recordings took fewer of the specs' actions than that
  --keep DIR               keep there what TLC was given, and what it wrote

Exit status: 0 accepted; 1 rejected, or covered too little; 2 for a command line that cannot be
understood, a file that is no recording or has nothing in it, or where TLC is missing.
"""

BANNER = """\
PyREPL3 {version}, Python {python}, in process {pid}
?name inspects, Tab completes, Ctrl-C interrupts, Ctrl-D leaves, %help shows what else there is.
Plots are saved in {pictures}
"""

REMOTE_BANNER = """\
PyREPL3 {version}, session {session} of {url}, in process {pid}; it {future} when you leave
?name inspects, Tab completes, Ctrl-C interrupts, Ctrl-D leaves, %help shows what else there is.
Plots are saved in {pictures}
"""
GOES_ON, IS_CLOSED = "goes on", "is closed"

CONNECTION_LOST = "[the connection is lost; what runs goes on, and it is tried to connect again]\n"
TRYING_AGAIN = "[the connection is lost; trying again. Ctrl-C leaves]\n"
CONNECTED_AGAIN = "[connected again]\n"
NOT_STOPPED = "[it has not stopped yet; Ctrl-C once more leaves]\n"
MAY_GO_ON = "[left without a connection: what runs there may go on]\n"
ROLLED_BACK = "[rolled back: the variables are as they were before]\n"
BEGUN = "[a transaction is open: %commit keeps what runs from here on, %rollback undoes it]\n"
BRANCHED = "[in a branch: %back ends it, and goes on in the session as it was]\n"
BRANCH_LOST = "[the branch is lost: {cause}]\n"
BACK_AGAIN = "[back in the session that it was forked from]\n"
NO_BRANCH = "[this is no branch: %fork goes on in one]\n"
BRANCH_NOTE = "(branch) "
COMMITTED = "[committed]\n"
TRANSACTION_NOTE = "(transaction) "
TRANSACTION_ROLLED_BACK = (
    "[rolled back: the variables are as they were when the transaction began, which has ended]\n"
)
TRANSACTION_LEFT = (
    "[a transaction is open: it is rolled back when nobody has come back for a while (60 s, where "
    "the service says nothing else)]\n"
)
TRANSACTION_OPEN = "[a transaction is open: %commit or %rollback ends it]\n"
NO_TRANSACTION = "[no transaction is open; one that was begun has ended by now, by a crash maybe]\n"
NOT_COPIED = "[the session cannot be copied as it is: {why}]\n"
CANCELLED = "[it is waited for no more]\n"
UNDONE = "[undone: {execution}]\n"
REDONE = "[there again: {execution}]\n"
NO_REQUEST = "[there is no {request}: {hint}]\n"
REQUEST_IS_ALONE = "[nothing was done: {request} stands alone on its line]\n"
NOTHING_TO_UNDO = "[nothing is left to undo]\n"
NOT_IN_HISTORY = "[nothing was undone: the history does not go back to {cell}; %history shows it]\n"
NOTHING_TO_REDO = "[there is nothing to redo: nothing was undone, or something has run since]\n"
HISTORY_USAGE = (
    "[%history 10 keeps the last 10 pieces of code, %history 0 none; %history shows them]\n"
)
NO_HISTORY = "[no history is kept: %history 10 keeps that of 10 pieces of code, from here on]\n"
NO_HISTORY_IN_SHELL = (
    "no history is kept: `pyrepl3 session history {session} --keep 10` keeps it from here on\n"
)
HISTORY_KEPT = "[from here on {count} can be undone, the last ones; a crash is undone meanwhile]\n"
HISTORY_ENDED = "[no history is kept from here on]\n"
HISTORY_IS_EMPTY = "[nothing that can be undone has run since; beside other threads nothing can]\n"
NOTHING_CAME_AFTER = "[nothing came after {cell} that is not undone already]\n"
UNDO_USAGE = "[%undo undoes the last piece of code, %undo 3 all that came after cell 3]\n"
HISTORY_TOTAL = "{held:>9}  of {most} for {count}\n"
REPORTING = "[from now on it is told what code does to the names; %report ends that]\n"
NOT_REPORTING = "[it is not told any more what code does to the names]\n"
END_ITS_THREADS = "pyrepl3: end its threads, where it has any; or --allow-copy, for --policy\n"
OVER_DEADLINE = "pyrepl3: it was interrupted at its deadline, which the session's limits set\n"
NO_CONNECTION = "(no connection) "
INTERRUPTED_LATER = """
[there is no connection: the code is interrupted as soon as there is one; Ctrl-C once more leaves]
"""
ATTACHED = """\
[attached to {session}: what runs there is shown. A line answers input(); Ctrl-C interrupts; twice,
or Ctrl-D, leaves; the session goes on]
"""
NOBODY_ASKS = "[nobody asks for a line: it was not sent]\n"
NOTHING_RUNS = "[nothing runs; Ctrl-C once more leaves]\n"
LEAVES_AT_ONCE = "[it is being interrupted; Ctrl-C once more leaves]\n"
NOT_SENT = "[it was not sent]\n"

EMPTY_INTERRUPT = "Ctrl-D or exit() leaves.\n"

INTERRUPT_WAITS = """
The code has not stopped yet; it was asked to, and may be busy where it cannot hear it.
Ctrl-C once more ends its process, and {fate}.
"""

INTERRUPTING_AGAIN = """\

The code has not stopped yet. In {grace_s:g} s its process is ended, and {fate}.
"""
LOST_THEN, UNDONE_THEN = "its variables are lost then", "what it did is undone then"

SESSION_LOST = """\
The session is lost, and its variables with it: {cause}.
A new session is open; it starts empty.
"""
