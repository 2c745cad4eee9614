//! [`Plan`]: what the adversary may do.

/// What the adversary may do. Which of it happens, and when, is decided by the run's
/// [`Choices`](crate::choices::Choices).
///
/// [`Plan::legal`] is everything that a kernel may do, and the default; [`Plan::tame`] is a kernel that does
/// all at once, in order and in full. What is no backend's right is asked for by
/// [`Bogus`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a list of switches")]
pub struct Plan {
    /// Completions arrive in any order, and so do the attempts before them.
    pub reorder: bool,
    /// Of several operations of one direction that wait on one descriptor, the first is served first.
    pub in_order: bool,
    /// Operations start late, completions arrive late, answers to cancels too; around deadlines most of all.
    pub delay: bool,
    /// Streams move less than they could.
    pub shorten: bool,
    /// Files move less than they could, too. No file of Linux's own does that before its end, or the disk's; one of
    /// a network or of FUSE may, when a signal comes. Not in [`legal`](Plan::legal): for a program that is to work
    /// there as well.
    pub short_files: bool,
    /// Calls fail with what their manual page lists, one in so many; 0 is never.
    pub errno_one_in: u32,
    /// Rooms are small: so many operations at a time are handed to the kernel; the rest waits in line.
    pub no_room: bool,
    /// An operation may lose or win against its cancel as it likes.
    pub cancel_races: bool,
    /// `poll` returns with nothing, wakes arrive just before it parks or are kept for the next one, and
    /// waiting operations are tried in vain.
    pub spurious: bool,
    /// Operations may finish inside submit.
    pub inline: bool,
    /// `poll` delivers fewer than there are.
    pub few: bool,
    /// Memory that the kernel may write in flight is written in flight.
    pub scribble: bool,
    /// What backends do in different ways, and no caller sees, is done in each: how a node is completed, what the
    /// backend's generation is.
    pub variants: bool,
    /// What no backend may do, to see that it is noticed.
    pub bogus: Option<Bogus>,
}

/// What no backend may do: the simulator panics when it does it on request, with the invariant's number or
/// with what its own table says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bogus {
    /// An operation is completed, and once more before its caller could look: the state word notices.
    Twice,
    /// The completion of an operation arrives a second time, when its storage may be gone.
    Again,
    /// A completion arrives that no operation was submitted for.
    Never,
    /// The completion of an earlier operation arrives when its storage is another's.
    Reused,
}

impl Bogus {
    /// Each.
    pub const ALL: [Bogus; 4] = [Bogus::Twice, Bogus::Again, Bogus::Never, Bogus::Reused];
}

impl Plan {
    /// All that a kernel may do.
    #[must_use]
    pub const fn legal() -> Plan {
        Plan {
            reorder: true,
            in_order: false,
            delay: true,
            shorten: true,
            short_files: false,
            errno_one_in: 16,
            no_room: true,
            cancel_races: true,
            spurious: true,
            inline: true,
            few: true,
            scribble: true,
            variants: true,
            bogus: None,
        }
    }

    /// Nothing: the kernel on a good day. What need not wait is done with the next `poll`.
    #[must_use]
    pub const fn tame() -> Plan {
        Plan {
            reorder: false,
            in_order: true,
            delay: false,
            shorten: false,
            short_files: false,
            errno_one_in: 0,
            no_room: false,
            cancel_races: false,
            spurious: false,
            inline: false,
            few: false,
            scribble: false,
            variants: false,
            bogus: None,
        }
    }

    /// [`legal`](Plan::legal), but no call fails for a reason of the kernel's own.
    #[must_use]
    pub const fn without_errors() -> Plan {
        Plan { errno_one_in: 0, ..Plan::legal() }
    }
}

impl Default for Plan {
    fn default() -> Plan {
        Plan::legal()
    }
}
