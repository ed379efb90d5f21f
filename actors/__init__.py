"""A small actor layer over trio: mailboxes, asking, alarms, supervision, orderly ends.

Owns what any trio program made of actors needs, and nothing of what one such program does. It
knows trio, and in one place tricycle's service nursery. What tests of such programs need is in
``actors.testing``, which this package does not import.
"""

from .actor import Actor as Actor
from .alarm import Alarm as Alarm
from .alarm import AlarmStatistics as AlarmStatistics
from .child import ChildSpec as ChildSpec
from .child import StartChild as StartChild
from .errors import ActorError as ActorError
from .errors import ActorGone as ActorGone
from .errors import AlreadyAnswered as AlreadyAnswered
from .errors import AlreadyRunning as AlreadyRunning
from .errors import ChildNotRunning as ChildNotRunning
from .errors import ChildOverdue as ChildOverdue
from .errors import GaveUp as GaveUp
from .errors import Gone as Gone
from .errors import Misuse as Misuse
from .errors import NeverStarted as NeverStarted
from .errors import NoReply as NoReply
from .errors import RestartIntensityExceeded as RestartIntensityExceeded
from .errors import UnknownChild as UnknownChild
from .mailbox import Address as Address
from .mailbox import Answer as Answer
from .mailbox import Inbox as Inbox
from .mailbox import Outcome as Outcome
from .mailbox import Reply as Reply
from .mailbox import ask as ask
from .mailbox import close_mailbox as close_mailbox
from .mailbox import open_mailbox as open_mailbox
from .mailbox import open_reply as open_reply
from .mailbox import receive_more as receive_more
from .mailbox import reply_to as reply_to
from .restart_budget import NO_BACKOFF as NO_BACKOFF
from .restart_budget import Backoff as Backoff
from .restart_budget import RestartIntensity as RestartIntensity
from .shutdown import Ending as Ending
from .shutdown import ask_then_cancel as ask_then_cancel
from .shutdown import open_body_nursery as open_body_nursery
from .supervision import Restart as Restart
from .supervision import Strategy as Strategy
from .supervisor import Supervisor as Supervisor
from .supervisor import SupervisorStatistics as SupervisorStatistics
