//! The contract, test by test. [`all`] is for every backend, [`shared`] for those that threads may share.
//!
//! ```no_run
//! # use io_conformance::{fixture::Fixture, suite};
//! # fn main_of(mine: impl Fixture<Backend: Sync> + Clone) -> std::process::ExitCode {
//! let mut trials = suite::trials(mine.clone(), suite::all());
//! trials.extend(suite::trials(mine, suite::shared()));
//! suite::run(trials, &["mine"])
//! # }
//! ```

pub mod callback;
pub mod cancel;
pub mod close;
pub mod connect;
pub mod control;
pub mod deadline;
pub mod drain;
pub mod drop;
pub mod elsewhere;
pub mod errors;
pub mod explain;
pub mod fork;
pub mod fs;
pub mod kinds;
pub mod leak;
pub mod lines;
pub mod names;
pub mod net;
pub mod odd;
pub mod order;
pub mod poll;
pub mod prompt;
pub mod ready;
pub mod rw;
pub mod side;
pub mod signals;
pub mod sources;
pub mod stale;
pub mod stop;
pub mod sync;
pub mod threads;
pub mod time;
pub mod whole;
pub mod wide;

use crate::fixture::{Fixture, Needs};
use crate::skip::Skip;
use crate::tally;
use crate::watchdog::Watchdog;
use core::any::type_name;
use core::fmt;
use core::panic::AssertUnwindSafe;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use std::panic::{catch_unwind, resume_unwind};
use std::process::ExitCode;
use std::sync::Arc;

/// One test of the contract.
pub struct Case<F> {
    /// Its module and name, such as `rw::read_fills_the_buffer`.
    pub name: String,
    needs: Option<Needs>,
    run: Box<dyn Fn(&F) + Send>,
}

impl<F> fmt::Debug for Case<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

impl<F> Case<F> {
    /// The test that this function is. Its name is the function's path without the crate and `suite`.
    pub fn of<T: Fn(&F) + Send + 'static>(test: T) -> Case<F> {
        let path = type_name::<T>().split('<').next().unwrap_or_default();
        let name = path.split("suite::").last().unwrap_or(path);
        Case { name: name.to_owned(), needs: None, run: Box::new(test) }
    }

    /// Whether a simulation can run it.
    #[must_use]
    pub fn is_for_simulations(&self) -> bool {
        self.needs.is_none()
    }

    /// With a need that a simulation cannot meet.
    #[must_use]
    pub fn needs(self, needs: Needs) -> Case<F> {
        Case { needs: Some(needs), ..self }
    }
}

/// What every backend must pass.
#[must_use]
pub fn all<F: Fixture>() -> Vec<Case<F>> {
    let mut cases = control::cases();
    cases.extend(callback::cases());
    cases.extend(names::cases());
    cases.extend(rw::cases());
    cases.extend(fs::cases());
    cases.extend(net::cases());
    cases.extend(connect::cases());
    cases.extend(ready::cases());
    cases.extend(errors::cases());
    cases.extend(odd::cases());
    cases.extend(kinds::cases());
    cases.extend(side::cases());
    cases.extend(prompt::cases());
    cases.extend(cancel::cases());
    cases.extend(close::cases());
    cases.extend(deadline::cases());
    cases.extend(time::cases());
    cases.extend(explain::cases());
    cases.extend(fork::cases());
    cases.extend(whole::cases());
    cases.extend(wide::cases());
    cases.extend(sync::cases());
    cases.extend(order::cases());
    cases.extend(lines::cases());
    cases.extend(poll::cases());
    cases.extend(drop::cases());
    cases.extend(drain::cases());
    cases.extend(stop::cases());
    cases.extend(leak::cases());
    cases.extend(signals::cases());
    cases.extend(sources::cases());
    cases.extend(stale::cases());
    cases
}

/// What every backend must pass that threads may share.
#[must_use]
pub fn shared<F: Fixture<Backend: Sync>>() -> Vec<Case<F>> {
    let mut cases = threads::cases();
    cases.extend(elsewhere::cases());
    cases.extend(fork::shared_cases());
    cases
}

/// The cases as trials of one variant.
pub fn trials<F: Fixture>(fixture: F, cases: Vec<Case<F>>) -> Vec<Trial> {
    let fixture = Arc::new(fixture);
    let trial = |case: Case<F>| {
        let (name, fixture) = (format!("{}::{}", fixture.name(), case.name), Arc::clone(&fixture));
        Trial::ignorable_test(name.clone(), move || judge(&name, &*fixture, &case))
    };
    cases.into_iter().map(trial).collect()
}

fn judge<F: Fixture>(name: &str, fixture: &F, case: &Case<F>) -> Result<Completion, Failed> {
    if let Err(reason) = fixture.available() {
        return Ok(Completion::ignored_with(reason));
    }
    if let (Some(needs), false) = (case.needs, fixture.caps().kernel) {
        tally::left_out(fixture.name(), needs);
        return Ok(Completion::ignored_with(format!("needs {}", needs.name())));
    }
    let _watchdog = Watchdog::arm(name);
    let _entered = fixture.enter();
    match catch_unwind(AssertUnwindSafe(|| (case.run)(fixture))) {
        Ok(()) => {
            tally::ran(fixture.name());
            Ok(Completion::Completed)
        }
        Err(payload) => match payload.downcast::<Skip>() {
            Ok(skip) => {
                tally::skipped(fixture.name());
                Ok(Completion::ignored_with(skip.0))
            }
            // The runner makes a failure of it.
            Err(payload) => resume_unwind(payload),
        },
    }
}

/// Runs the trials one after the other on this thread, so that counts of descriptors mean something,
/// and then says what the backends of these variants did.
#[must_use]
pub fn run(mut trials: Vec<Trial>, variants: &[&'static str]) -> ExitCode {
    let mut args = Arguments::from_args();
    args.test_threads = Some(1);
    for &variant in variants {
        // A trial, so that the summary stays the last line.
        trials.push(Trial::test(format!("{variant}::ways"), move || {
            println!("{}", tally::line(variant));
            println!("{}", tally::cases(variant));
            tally::all_delivered(variant).map_err(Failed::from)
        }));
    }
    libtest_mimic::run(&args, trials).exit_code()
}
