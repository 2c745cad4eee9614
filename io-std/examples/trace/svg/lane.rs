//! A lane in columns: of each, how much of its time was spent in calls, and in which one most.

use core::iter;

/// Heights that a column may have.
pub(crate) const LEVELS: usize = 5;

/// One column. The call is found by a weighted vote: what has more than half of the time in calls wins, and
/// otherwise one of those that have much.
#[derive(Clone, Copy, Default)]
struct Cell {
    busy: u64,
    lead: u64,
    call: u16,
}

impl Cell {
    fn add(&mut self, call: u16, nanos: u64) {
        self.busy = self.busy.saturating_add(nanos);
        if self.call == call || self.lead == 0 {
            self.call = call;
            self.lead = self.lead.saturating_add(nanos);
        } else if self.lead >= nanos {
            self.lead -= nanos;
        } else {
            (self.call, self.lead) = (call, nanos - self.lead);
        }
    }
}

/// The columns of one thread; none until its first call.
pub(crate) struct Lane {
    columns: usize,
    cells: Vec<Cell>,
}

/// Columns beside each other that look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) call: u16,
    /// From 1 to [`LEVELS`].
    pub(crate) level: usize,
}

impl Lane {
    pub(crate) fn new(columns: usize) -> Lane {
        Lane { columns: columns.max(1), cells: Vec::new() }
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// A call of `nanos` that began at `begin`, in a picture of `duration`.
    pub(crate) fn add(&mut self, call: u16, begin: u64, nanos: u64, duration: u64) {
        if self.cells.is_empty() {
            self.cells.resize(self.columns, Cell::default());
        }
        let duration = duration.max(1);
        let begin = begin.min(duration);
        let end = begin.saturating_add(nanos.max(1)).min(duration);
        let (first, last) = (self.column(begin, duration), self.column(end, duration));
        let edge = |column: usize| {
            let edge = u128::from(duration) * column as u128 / self.columns as u128;
            u64::try_from(edge).unwrap_or(u64::MAX)
        };
        for column in first..=last {
            let (from, to) = (edge(column).max(begin), edge(column + 1).min(end));
            let inside = if first == last { nanos } else { to.saturating_sub(from) };
            if let Some(cell) = self.cells.get_mut(column) {
                cell.add(call, inside.max(1));
            }
        }
    }

    fn column(&self, moment: u64, duration: u64) -> usize {
        let column = u128::from(moment) * self.columns as u128 / u128::from(duration);
        usize::try_from(column).unwrap_or(usize::MAX).min(self.columns - 1)
    }

    /// Makes one column of two.
    pub(crate) fn halve(&mut self) {
        self.columns = self.columns.div_ceil(2);
        let halved = self.cells.chunks(2).map(|pair| {
            let mut cell = pair[0];
            if let Some(other) = pair.get(1).filter(|other| other.busy > 0) {
                let busy = cell.busy.saturating_add(other.busy);
                cell.add(other.call, other.lead);
                cell.busy = busy;
            }
            cell
        });
        self.cells = halved.collect();
    }

    /// What is to be drawn, from left to right.
    pub(crate) fn runs(&self, duration: u64) -> impl Iterator<Item = Run> {
        let width = (duration / self.columns as u64).max(1);
        let look = move |cell: &Cell| {
            let part = u128::from(cell.busy) * LEVELS as u128 / u128::from(width);
            let level = usize::try_from(part).unwrap_or(LEVELS).clamp(1, LEVELS);
            (cell.busy > 0).then_some((cell.call, level))
        };
        let mut next = 0;
        iter::from_fn(move || {
            loop {
                let first = next;
                let found = look(self.cells.get(first)?);
                let same = self.cells.iter().skip(first).take_while(|cell| look(cell) == found);
                let count = same.count();
                next += count;
                if let Some((call, level)) = found {
                    return Some(Run { first, count, call, level });
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{LEVELS, Lane, Run};

    fn runs(lane: &Lane, duration: u64) -> Vec<(usize, usize, u16, usize)> {
        let all = lane.runs(duration);
        all.map(|Run { first, count, call, level }| (first, count, call, level)).collect()
    }

    #[test]
    fn a_long_call_fills_its_columns() {
        let mut lane = Lane::new(10);
        assert_eq!(runs(&lane, 1_000), []);
        lane.add(3, 200, 300, 1_000);
        lane.add(4, 900, 20, 1_000);
        assert_eq!(runs(&lane, 1_000), [(2, 3, 3, LEVELS), (5, 1, 3, 1), (9, 1, 4, 1)]);
    }

    #[test]
    fn a_column_shows_what_took_most_of_it() {
        let mut lane = Lane::new(1);
        for n in 0..30 {
            lane.add(if n % 3 == 0 { 1 } else { 2 }, n, 10, 1_000);
        }
        assert_eq!(runs(&lane, 1_000), [(0, 1, 2, 1)]);
        lane.add(1, 0, 500, 1_000);
        assert_eq!(runs(&lane, 1_000), [(0, 1, 1, 4)]);
    }

    #[test]
    fn halves_keep_the_time() {
        let mut lane = Lane::new(5);
        lane.add(1, 0, 100, 500);
        lane.add(2, 400, 99, 500);
        lane.halve();
        assert_eq!(lane.columns(), 3);
        assert_eq!(runs(&lane, 500), [(0, 1, 1, 3), (2, 1, 2, 2)]);
    }

    #[test]
    fn the_very_end_and_beyond_is_in_the_last_column() {
        let mut lane = Lane::new(4);
        lane.add(1, u64::MAX, u64::MAX, 100);
        assert_eq!(runs(&lane, 100), [(3, 1, 1, LEVELS)]);
        lane.add(1, 0, u64::MAX, u64::MAX);
    }
}
