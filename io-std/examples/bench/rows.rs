//! The names of what is measured: workload, backend, form and depth, which together are one row.

use core::str::FromStr;

/// What each operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Workload {
    /// Nothing.
    Nop,
    /// A 4 KiB read within 256 KiB of page cache.
    ReadHot,
    /// The same through a bare descriptor number, which must be checked before each read.
    ReadHotBareFd,
    /// A 4 KiB read within 256 MiB of page cache.
    ReadWide,
}

/// Who does it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Uring,
    Epoll,
    Pool,
    RawRing,
    Pread,
}

/// How completions are heard of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Form {
    Future,
    Callback,
    Loop,
}

/// One row of the result.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) backend: Backend,
    pub(crate) form: Form,
    pub(crate) depth: usize,
}

/// An enum whose values are known by name.
pub(crate) trait Named: Copy + 'static {
    const ALL: &'static [(&'static str, Self)];
    fn name(self) -> &'static str;
}

impl Named for Workload {
    const ALL: &'static [(&'static str, Self)] = &[
        ("nop", Workload::Nop),
        ("read-hot", Workload::ReadHot),
        ("read-hot-bare-fd", Workload::ReadHotBareFd),
        ("read-wide", Workload::ReadWide),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl Named for Backend {
    const ALL: &'static [(&'static str, Self)] = &[
        ("uring", Backend::Uring),
        ("epoll", Backend::Epoll),
        ("pool", Backend::Pool),
        ("raw-ring", Backend::RawRing),
        ("pread", Backend::Pread),
    ];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

impl Named for Form {
    const ALL: &'static [(&'static str, Self)] =
        &[("future", Form::Future), ("callback", Form::Callback), ("loop", Form::Loop)];

    fn name(self) -> &'static str {
        Self::ALL[self as usize].0
    }
}

/// A value by its name.
pub(crate) fn parse<T: Named>(text: &str) -> Result<T, String> {
    let found = T::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = T::ALL.iter().map(|(name, _)| *name).collect();
        format!("{text:?} is none of {}", names.join(", "))
    })
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text)
    }
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text)
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parse(text)
    }
}
