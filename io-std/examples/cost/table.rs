//! The table.

use crate::measure::{Cost, Way};
use crate::programs::Tree;
use core::fmt;

/// Prints what stands above all rows.
pub(crate) fn head(tree: &Tree) {
    println!("A tree of {} files with {} MB.\n", tree.files, tree.bytes / 1_000_000);
    println!("| program | calls | alone: wall, CPU | traced: wall | CPU | `strace -f`: wall |");
    println!("|---|---|---|---|---|---|");
}

/// One program's figures, in the order of the rounds.
pub(crate) struct Row {
    name: String,
    alone: Vec<Cost>,
    traced: Vec<Cost>,
    strace: Vec<Cost>,
}

impl Row {
    pub(crate) fn new(name: &str) -> Row {
        Row { name: name.to_owned(), alone: Vec::new(), traced: Vec::new(), strace: Vec::new() }
    }

    pub(crate) fn add(&mut self, way: &Way<'_>, cost: Cost) {
        match way {
            Way::Alone => self.alone.push(cost),
            Way::Traced { .. } => self.traced.push(cost),
            Way::Strace => self.strace.push(cost),
        }
    }

    /// The median of the rounds' ratios to the program alone.
    fn ratio(&self, costs: &[Cost], figure: impl Fn(&Cost) -> f64) -> f64 {
        median(costs.iter().zip(&self.alone).map(|(with, alone)| figure(with) / figure(alone)))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wall = median(self.alone.iter().map(|cost| cost.wall)) * 1e3;
        let cpu = median(self.alone.iter().map(|cost| cost.cpu)) * 1e3;
        let calls = self.traced.last().map_or(0, |cost| cost.events);
        write!(f, "| {} | {calls} | {wall:.1} ms, {cpu:.1} ms |", self.name)?;
        let percent = |ratio: f64| (ratio - 1.0) * 100.0;
        write!(f, " {:+.1} % |", percent(self.ratio(&self.traced, |cost| cost.wall)))?;
        write!(f, " {:+.1} % |", percent(self.ratio(&self.traced, |cost| cost.cpu)))?;
        match self.strace.is_empty() {
            true => write!(f, " |"),
            false => write!(f, " {:.1}x |", self.ratio(&self.strace, |cost| cost.wall)),
        }
    }
}

/// The middle one; of an even number the mean of both.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    let middle = |at: usize| numbers.get(at).copied().unwrap_or(f64::NAN);
    f64::midpoint(middle(numbers.len().saturating_sub(1) / 2), middle(numbers.len() / 2))
}
