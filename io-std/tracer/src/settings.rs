//! What the launcher asks for, in the environment.

use crate::format::Route;
use crate::libc::variable;
use crate::text::Text;

/// All of it.
pub(crate) struct Settings {
    /// Where mappings are (`IO_TRACE_DIR`).
    pub(crate) dir: Text<400>,
    /// Where events are written (`IO_TRACE_SPOOL`).
    pub(crate) spool: Text<400>,
    /// How (`IO_TRACE_BACKEND`).
    pub(crate) route: Route,
    /// Whether events are timed by the processor's counter (`IO_TRACE_CLOCK`).
    pub(crate) ticks: bool,
    /// Whether an event that finds no room is dropped at once (`IO_TRACE_FULL`).
    pub(crate) drops: bool,
}

impl Settings {
    /// `None` if the launcher is not there.
    pub(crate) fn read() -> Option<Settings> {
        let path = |name| variable(name).filter(|path| !path.is_empty() && path.len() < 400);
        let route = match variable(c"IO_TRACE_BACKEND") {
            Some(b"epoll") => Route::Epoll,
            Some(b"uring") => Route::Uring,
            _ => Route::Pool,
        };
        Some(Settings {
            dir: Text::new().push(path(c"IO_TRACE_DIR")?),
            spool: Text::new().push(path(c"IO_TRACE_SPOOL")?),
            route,
            ticks: variable(c"IO_TRACE_CLOCK") == Some(b"ticks"),
            drops: variable(c"IO_TRACE_FULL") == Some(b"drop"),
        })
    }
}
