//! What is asserted of every cell: it can be made here, nothing is delivered twice, and the backend works afterwards.

use crate::load::works;
use core::pin::Pin;
use io_conformance::fault::not_here;
use io_conformance::fixture::{Caps, Fixture, Flavour};
use io_conformance::rig::Rig;
use io_conformance::tally;
use io_core::Errno;

/// A fixture whose backends are seen to work, with nothing in flight, when a test is over with them.
#[derive(Clone)]
pub(crate) struct Afterwards<F>(F);

impl<F: Fixture> Fixture for Afterwards<F> {
    type Backend = F::Backend;

    fn name(&self) -> &str {
        self.0.name()
    }

    fn caps(&self) -> Caps {
        self.0.caps()
    }

    fn available(&self) -> Result<(), String> {
        self.0.available()
    }

    fn reinit(&self, backend: Pin<&Self::Backend>) -> Option<Result<(), Errno>> {
        self.0.reinit(backend)
    }

    fn with<R>(&self, flavour: Flavour, test: impl FnOnce(&Rig<'_, Self::Backend>) -> R) -> R {
        self.0.with(flavour, |rig| {
            let result = test(rig);
            works(rig);
            result
        })
    }
}

/// Runs `test` on backends that are to work when it is over.
pub(crate) fn borne<F: Fixture>(fx: F, test: impl FnOnce(&Afterwards<F>)) {
    delivered_once(Afterwards(fx), test);
}

/// Runs `test` on backends that are to deliver what was submitted to them, and nothing twice.
pub(crate) fn delivered_once<F: Fixture>(fx: F, test: impl FnOnce(&F)) {
    if let Err(why) = fx.available() {
        not_here(why);
    }
    test(&fx);
    tally::settled(fx.name()).expect("each operation once");
}
