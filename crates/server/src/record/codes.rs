//! The numbers of words: our enums and those of `proto/journal.proto`, side by side.

use spantally_proto::journal as wire;
use spantally_stitch::{Accepted, CorrelationKind, FactSource, FailureReason, FrameKind, Role, TaskState};

use crate::batch::Transport;

/// A word with a number in the journal.
pub(super) trait Code: Sized {
    /// Its number.
    fn code(self) -> i32;
    /// The word of a number; none when this version knows no such number.
    fn from_code(code: i32) -> Option<Self>;
}

macro_rules! codes {
    ($($name:ident: $($variant:ident),+;)+) => {$(
        impl Code for $name {
            #[inline]
            fn code(self) -> i32 {
                match self { $(Self::$variant => wire::$name::$variant as i32),+ }
            }

            fn from_code(code: i32) -> Option<Self> {
                $(if code == wire::$name::$variant as i32 {
                    return Some(Self::$variant);
                })+
                None
            }
        }
    )+};
}

codes! {
    Transport: Grpc, HttpProtobuf, HttpJson, File;
    Role: Poll, Submit, Result, Cancel, Webhook, Download, Sync, Session;
    Accepted: Yes, No, Ambiguous;
    TaskState: NotReady, Running, Ended, Errored, CanceledQueued, Canceled, Failed, Rejected, Partial,
        Succeeded;
    FailureReason: ClientTimeout, ProviderTimeout, RateLimit, InvalidInput, InvalidMedia, ModerationInput,
        ModerationOutput, Quality, Capacity, WebhookDelivery, EmptyResponse, NotReady, Canceled,
        ProviderError, Unknown;
    FrameKind: Internal, Server, Consumer, Operation, Wrapper, Chat, Session;
    CorrelationKind: Idempotency, Callback, Job, Session;
    FactSource: Request, Response, Reported;
}

/// [`spantally_stitch::Answer`] as one number; HTTP 200, much the commonest, is 0.
pub(super) mod answer {
    use spantally_stitch::Answer;

    /// From here on it is an HTTP status.
    const STATUS: u32 = 16;

    pub(in super::super) fn code(answer: Answer) -> u32 {
        match answer {
            Answer::Status(200) => 0,
            Answer::NotSent => 1,
            Answer::TimedOut => 2,
            Answer::Reset => 3,
            Answer::Missing => 4,
            Answer::Status(status) => STATUS + u32::from(status),
        }
    }

    pub(in super::super) fn from_code(code: u32) -> Option<Answer> {
        Some(match code {
            0 => Answer::Status(200),
            1 => Answer::NotSent,
            2 => Answer::TimedOut,
            3 => Answer::Reset,
            4 => Answer::Missing,
            _ => Answer::Status(u16::try_from(code.checked_sub(STATUS)?).ok()?),
        })
    }
}
