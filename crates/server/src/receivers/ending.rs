//! How a request ended, counted also where nobody is there any more to be answered.

use crate::batch::Transport;
use crate::intake::Intake;
use crate::request_end::RequestEnd;

/// Counts the end of a request once. If it is dropped before it was told, its sender has gone.
pub(super) struct Ending<'i> {
    intake: &'i Intake,
    transport: Transport,
    is_told: bool,
}

impl<'i> Ending<'i> {
    pub(super) fn new(intake: &'i Intake, transport: Transport) -> Self {
        Self { intake, transport, is_told: false }
    }

    pub(super) fn tell(mut self, end: RequestEnd) {
        self.is_told = true;
        self.intake.stats().ended(self.transport, end);
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            self.intake.stats().ended(self.transport, RequestEnd::Disconnected);
        }
    }
}
