//! What the launcher has to know of each call.

use crate::format::{Call, Event, Layer};

/// What a call does to descriptors and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The result is a new descriptor for the path in the text.
    Open,
    /// The same, in the event's own descriptor.
    OpenStream,
    /// Works on the path in the text.
    Path,
    /// The descriptor is closed.
    Close,
    /// A range of them is.
    CloseRange,
    /// The result is another number for the descriptor.
    Duplicate,
    /// The result is a new socket.
    Socket,
    /// Both descriptors are new.
    Pair,
    /// The descriptor's other end is now what the text says.
    Connect,
    /// The result is a new socket; its other end is what the text says.
    Accept,
    /// The descriptor has the name in the text, and had it before.
    Known,
    /// Works on the descriptor, or on none.
    Use,
}

/// The call of an event; `None` for a slot that only fills a block.
pub(crate) fn of(event: &Event) -> Option<(Call, Layer, &'static str)> {
    Call::ALL.get(usize::from(event.call)).copied()
}

/// What it does.
pub(crate) fn effect(call: Call) -> Effect {
    match call {
        Call::Open | Call::OpenAt | Call::Creat => Effect::Open,
        Call::Fopen | Call::Freopen | Call::Fdopen | Call::Popen | Call::Tmpfile => {
            Effect::OpenStream
        }
        Call::Truncate
        | Call::Stat
        | Call::Lstat
        | Call::Fstatat
        | Call::Statx
        | Call::Unlink
        | Call::UnlinkAt
        | Call::Rename
        | Call::RenameAt
        | Call::RenameAt2
        | Call::Mkdir
        | Call::MkdirAt
        | Call::Spawn
        | Call::Spawnp
        | Call::Exec => Effect::Path,
        Call::Close | Call::Fclose | Call::Pclose => Effect::Close,
        Call::CloseRange => Effect::CloseRange,
        Call::Dup | Call::Dup2 | Call::Dup3 | Call::Fcntl => Effect::Duplicate,
        Call::Socket => Effect::Socket,
        Call::Socketpair | Call::Pipe => Effect::Pair,
        Call::Connect => Effect::Connect,
        Call::Accept | Call::Accept4 => Effect::Accept,
        Call::Descriptor => Effect::Known,
        _ => Effect::Use,
    }
}

/// How many bytes an event moved.
pub(crate) fn bytes(call: Call, event: &Event) -> u64 {
    let moved = match call {
        Call::Read
        | Call::Write
        | Call::Pread
        | Call::Pwrite
        | Call::Readv
        | Call::Writev
        | Call::Preadv
        | Call::Pwritev
        | Call::Preadv2
        | Call::Pwritev2
        | Call::Send
        | Call::SendTo
        | Call::SendMsg
        | Call::Recv
        | Call::RecvFrom
        | Call::RecvMsg
        | Call::Sendfile
        | Call::CopyFileRange
        | Call::Fread
        | Call::Fwrite
        | Call::Fgets
        | Call::Fputs
        | Call::Puts
        | Call::Getline
        | Call::Getdelim => event.result,
        // Those of sendmmsg and recvmmsg are not known: they count messages.
        Call::Fgetc | Call::Fputc | Call::Putchar => i64::from(event.result >= 0),
        _ => 0,
    };
    u64::try_from(moved).unwrap_or(0)
}

/// The name of an error, as programmers know it.
pub(crate) fn errno_name(errno: i64) -> String {
    let known = [
        (1, "EPERM"),
        (2, "ENOENT"),
        (3, "ESRCH"),
        (4, "EINTR"),
        (5, "EIO"),
        (6, "ENXIO"),
        (8, "ENOEXEC"),
        (9, "EBADF"),
        (10, "ECHILD"),
        (11, "EAGAIN"),
        (12, "ENOMEM"),
        (13, "EACCES"),
        (14, "EFAULT"),
        (16, "EBUSY"),
        (17, "EEXIST"),
        (18, "EXDEV"),
        (20, "ENOTDIR"),
        (21, "EISDIR"),
        (22, "EINVAL"),
        (24, "EMFILE"),
        (25, "ENOTTY"),
        (26, "ETXTBSY"),
        (27, "EFBIG"),
        (28, "ENOSPC"),
        (29, "ESPIPE"),
        (30, "EROFS"),
        (32, "EPIPE"),
        (36, "ENAMETOOLONG"),
        (38, "ENOSYS"),
        (39, "ENOTEMPTY"),
        (40, "ELOOP"),
        (88, "ENOTSOCK"),
        (95, "EOPNOTSUPP"),
        (97, "EAFNOSUPPORT"),
        (98, "EADDRINUSE"),
        (104, "ECONNRESET"),
        (106, "EISCONN"),
        (107, "ENOTCONN"),
        (110, "ETIMEDOUT"),
        (111, "ECONNREFUSED"),
        (115, "EINPROGRESS"),
    ];
    let found = known.iter().find(|(number, _)| *number == errno);
    found.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{Effect, bytes, effect, errno_name, of};
    use crate::format::{Call, Layer};
    use crate::samples::Sample;

    #[test]
    fn numbers_are_places_in_the_table() {
        for (index, (call, _, _)) in Call::ALL.iter().enumerate() {
            assert_eq!(*call as usize, index);
        }
        assert!(matches!(of(Sample::at(0).parts().0), Some((Call::Read, Layer::System, "read"))));
        let mut pad = Sample::at(0).event;
        pad.call = u16::MAX;
        assert!(of(&pad).is_none());
    }

    #[test]
    fn bytes_are_what_was_moved() {
        let moved = |call, result| bytes(call, &Sample::at(0).result(result).argument(99).event);
        assert_eq!(moved(Call::Pread, 12), 12);
        assert_eq!(moved(Call::Pread, -5), 0);
        assert_eq!(moved(Call::Lseek, 12), 0);
        assert_eq!(moved(Call::Fgetc, 65), 1);
        assert_eq!((moved(Call::SendMmsg, 2), moved(Call::Fputc, -1)), (0, 0));
        assert_eq!(effect(Call::Fsync), Effect::Use);
        assert_eq!((errno_name(2), errno_name(999)), ("ENOENT".into(), "errno 999".into()));
    }
}
