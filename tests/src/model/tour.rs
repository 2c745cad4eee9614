//! The real code makes every step of the model: [`Tour`].

use super::event::Event;
use super::harness::{self, Place};
use super::state::State;
use super::walk::{Theme, Walk};
use std::collections::HashSet;

/// What came of a tour.
#[derive(Debug)]
pub struct Tour {
    /// How many lives were lived.
    pub lives: usize,
    /// Steps of the walk that the real code made, and was compared at.
    pub covered: usize,
    /// The steps that it did not.
    pub missing: Vec<(State, Event)>,
}

/// Brings the real code to each step of a walk, by the shortest way, and where the step begins between two
/// accesses also by each of them.
///
/// # Errors
/// How the code and the model parted, and the events that led there.
pub fn tour(theme: &Theme, walk: &Walk) -> Result<Tour, String> {
    let mut seen = HashSet::new();
    let mut lives = 0;
    for &(from, event, _) in &walk.edges {
        let step = (walk.states[from], event);
        let access = step.0.top().is_some_and(|frame| !frame.at().is_user());
        // The accesses of one function, such as a load and an exchange, are stops of one window.
        let stops = access && event != Event::Resume;
        if !stops && seen.contains(&step) {
            continue;
        }
        let mut path = walk.path(from);
        path.push(step);
        for late in 0.. {
            let life = live(theme, path.clone(), late)?;
            lives += 1;
            let arrived = life.contains(&step);
            seen.extend(life);
            if !arrived || !stops {
                break;
            }
        }
    }
    let steps = walk.edges.iter().map(|&(from, event, _)| (walk.states[from], event));
    let missing: Vec<_> = steps.filter(|step| !seen.contains(step)).collect();
    Ok(Tour { lives, covered: walk.edges.len() - missing.len(), missing })
}

/// One life along a path; the last event comes `late` stops after the first that could take it.
fn live(
    theme: &Theme,
    path: Vec<(State, Event)>,
    late: u32,
) -> Result<Vec<(State, Event)>, String> {
    let events: Vec<Event> = path.iter().map(|(_, event)| *event).collect();
    let (mut at, mut put_off) = (0, 0);
    let report = harness::run(theme.start, None, move |state, place| {
        // What goes on by itself went on.
        let gone_on = |at: usize| matches!(path.get(at), Some((is, Event::Resume)) if is != state);
        while gone_on(at) {
            at += 1;
        }
        let (is, event) = path.get(at)?;
        if is != state || *event == Event::Resume {
            return None;
        }
        if place == Place::Access && at + 1 == path.len() && put_off < late {
            put_off += 1;
            return None;
        }
        at += 1;
        Some(*event)
    });
    match report.mismatch {
        Some(mismatch) => Err(format!("{mismatch}\nafter {events:?}, {late} stops late")),
        None => Ok(report.steps),
    }
}
