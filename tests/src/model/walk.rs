//! Every state and every step that can be reached: [`Walk`].

use super::event::{Act, Call, Event, Who};
use super::rules::{Rule, Transition, broken};
use super::state::{Start, State, Storage};
use super::step::{legal, step};
use io_core::Errno;
use std::collections::HashMap;

/// Which windows something else can come between in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Windows {
    /// Those of user code, which every build has.
    User,
    /// Those between accesses too: a build with the feature `steps`.
    All,
}

impl Windows {
    /// Those of this build.
    pub const HERE: Windows = if cfg!(feature = "steps") { Windows::All } else { Windows::User };

    fn lets_in(self, state: &State) -> bool {
        self == Windows::All || state.top().is_none_or(|frame| frame.at().is_user())
    }
}

/// What is walked: where lives begin, and what can happen in them.
#[derive(Clone, Debug)]
pub struct Theme {
    /// Its name, for reports.
    pub name: &'static str,
    /// Where lives begin.
    pub start: Start,
    /// What can happen.
    pub alphabet: Vec<Event>,
}

const CANCELED: i64 = Errno::CANCELED.to_result();

/// What is in every theme.
const COMMON: [Event; 10] = [
    Event::Resume,
    Event::Call(Call::Poll(Who::A)),
    Event::Call(Call::Cancel),
    Event::Call(Call::Wait),
    Event::Call(Call::Drop),
    Event::Call(Call::Reset),
    Event::Act(Act::Begin),
    Event::Act(Act::Complete(5)),
    Event::Act(Act::CompleteQuiet(CANCELED)),
    Event::Act(Act::Deliver),
];

fn theme(name: &'static str, start: Start, calls: &[Call], acts: &[Act]) -> Theme {
    let mut alphabet = COMMON.to_vec();
    alphabet.extend(calls.iter().copied().map(Event::Call));
    alphabet.extend(acts.iter().copied().map(Event::Act));
    Theme { name, start, alphabet }
}

/// The themes: together they have every event, each few enough that all that can be reached is reached.
#[must_use]
pub fn themes() -> Vec<Theme> {
    let mut forked = theme(
        "fork",
        Start::TIMED,
        &[Call::SubmitCallback, Call::Result],
        &[Act::Arm, Act::Disarm],
    );
    forked.alphabet.extend([Event::Fork, Event::Reinit]);
    vec![
        theme(
            "wakers",
            Start::PLAIN,
            &[Call::Poll(Who::B), Call::Forget],
            &[Act::AddWaiter, Act::Inline(7), Act::CompleteUnshared],
        ),
        theme(
            "phases",
            Start::PLAIN,
            &[Call::Submit, Call::Result],
            &[Act::BeginUnshared, Act::Requeue, Act::AskCancel, Act::Inline(7)],
        ),
        theme(
            "callback",
            Start::PLAIN,
            &[Call::SubmitCallback, Call::Result, Call::Forget],
            &[Act::AddWaiter, Act::CompleteUnshared, Act::Inline(7)],
        ),
        theme(
            "results",
            Start::PLAIN,
            &[Call::Submit, Call::Result],
            &[Act::Store(3), Act::GoHome(CANCELED), Act::CompleteStored, Act::CompleteUnshared],
        ),
        theme(
            "deadline",
            Start::TIMED,
            &[Call::Submit, Call::Result],
            &[
                Act::Arm,
                Act::Disarm,
                Act::Expire,
                Act::Overdue,
                Act::Complete(CANCELED),
                Act::Inline(CANCELED),
            ],
        ),
        theme(
            "descriptor",
            Start::FD,
            &[Call::SubmitCallback, Call::Result, Call::Forget],
            &[Act::Inline(7)],
        ),
        theme("ready", Start::READY, &[Call::Submit, Call::Result], &[Act::Inline(7)]),
        forked,
    ]
}

/// Every state and every step that can be reached from a start, by events of an alphabet.
#[derive(Debug)]
pub struct Walk {
    /// The states, by first reached.
    pub states: Vec<State>,
    /// How each was reached first; the first is the start.
    pub reached_by: Vec<(usize, Event)>,
    /// Every step: from, event, to.
    pub edges: Vec<(usize, Event, usize)>,
    /// How many events reach everything.
    pub depth: usize,
    /// How many sequences of at most that many events there are.
    pub sequences: f64,
}

impl Walk {
    /// Walks until nothing new comes, or for at most `depth` events.
    ///
    /// # Errors
    /// The first steps that break a rule.
    pub fn new(theme: &Theme, windows: Windows, depth: usize) -> Result<Walk, Box<Broken>> {
        let start = State::new(theme.start);
        let mut walk = Walk {
            states: vec![start],
            reached_by: vec![(0, Event::Resume)],
            edges: Vec::new(),
            depth: 0,
            sequences: 1.0,
        };
        let mut known = HashMap::from([(start, 0)]);
        let mut level = 0..1;
        while !level.is_empty() && walk.depth < depth {
            for at in level.clone() {
                walk.expand(at, theme, windows, &mut known)?;
            }
            level = level.end..walk.states.len();
            walk.depth += 1;
        }
        walk.count();
        Ok(walk)
    }

    fn expand(
        &mut self,
        at: usize,
        theme: &Theme,
        windows: Windows,
        known: &mut HashMap<State, usize>,
    ) -> Result<(), Box<Broken>> {
        let before = self.states[at];
        let lets_in = windows.lets_in(&before);
        for event in legal(&before, &theme.alphabet) {
            if !lets_in && event != Event::Resume {
                continue;
            }
            let (after, effects) = step(before, event);
            let transition = Transition { before, event, after, effects };
            if let Some(rule) = broken(&transition).next() {
                let path = self.path(at).into_iter().map(|(_, event)| event).collect();
                return Err(Box::new(Broken { rule, path, transition }));
            }
            let to = *known.entry(after).or_insert_with(|| {
                self.states.push(after);
                self.reached_by.push((at, event));
                self.states.len() - 1
            });
            self.edges.push((at, event, to));
        }
        Ok(())
    }

    fn count(&mut self) {
        let mut ways = vec![0.0; self.states.len()];
        ways[0] = 1.0;
        for _ in 0..self.depth {
            let mut next = vec![0.0; self.states.len()];
            for &(from, _, to) in &self.edges {
                next[to] += ways[from];
            }
            self.sequences += next.iter().sum::<f64>();
            ways = next;
        }
    }

    /// The shortest way to a state: what it is before each event, and the event.
    #[must_use]
    pub fn path(&self, to: usize) -> Vec<(State, Event)> {
        let mut path = Vec::new();
        let mut at = to;
        while at != 0 {
            let (from, event) = self.reached_by[at];
            path.push((self.states[from], event));
            at = from;
        }
        path.reverse();
        path
    }

    /// A state from which no way leads to the end of the life, if there is one: something is lost there.
    #[must_use]
    pub fn dead_end(&self) -> Option<State> {
        let mut back = vec![Vec::new(); self.states.len()];
        for &(from, _, to) in &self.edges {
            back[to].push(from);
        }
        let mut alive: Vec<bool> = self.states.iter().map(is_end).collect();
        let mut open: Vec<usize> = (0..alive.len()).filter(|&at| alive[at]).collect();
        while let Some(at) = open.pop() {
            for &from in &back[at] {
                if !alive[from] {
                    alive[from] = true;
                    open.push(from);
                }
            }
        }
        alive.iter().position(|alive| !alive).map(|at| self.states[at])
    }
}

/// Freed, or forgotten with nothing more to come.
fn is_end(state: &State) -> bool {
    let over = state.depth() == 0 && state.left.is_none() && !state.owned;
    over && state.storage != Storage::Held
}

/// A rule that does not hold.
#[derive(Debug)]
pub struct Broken {
    /// Which.
    pub rule: &'static Rule,
    /// The shortest way to the state before.
    pub path: Vec<Event>,
    /// The step that breaks it.
    pub transition: Transition,
}
