//! A colour for each call: its kind gives the hue, so that reading and writing are told apart from afar.

use crate::format::Call;

/// The colour, as CSS has it.
pub(crate) fn colour(call: Call) -> String {
    let (hue, place) = kind(call);
    // Neighbours of a kind differ in light, and a little in hue.
    let light = [46, 60, 36, 68, 30, 76][place % 6];
    format!("hsl({} {}% {light}%)", hue + place / 6 * 6, 72 - place % 2 * 20)
}

/// The hue of a kind, and the place in it.
fn kind(call: Call) -> (usize, usize) {
    let kinds: [(usize, &[Call]); 9] = [
        (
            130,
            &[
                Call::Open,
                Call::OpenAt,
                Call::Creat,
                Call::Close,
                Call::CloseRange,
                Call::Dup,
                Call::Dup2,
                Call::Dup3,
            ],
        ),
        (210, &[Call::Read, Call::Pread, Call::Readv, Call::Preadv, Call::Preadv2, Call::Lseek]),
        (
            18,
            &[
                Call::Write,
                Call::Pwrite,
                Call::Writev,
                Call::Pwritev,
                Call::Pwritev2,
                Call::Ftruncate,
                Call::Truncate,
            ],
        ),
        (0, &[Call::Fsync, Call::Fdatasync]),
        (48, &[Call::Fstat, Call::Stat, Call::Lstat, Call::Fstatat, Call::Statx]),
        (
            300,
            &[
                Call::Unlink,
                Call::UnlinkAt,
                Call::Rename,
                Call::RenameAt,
                Call::RenameAt2,
                Call::Mkdir,
                Call::MkdirAt,
            ],
        ),
        (
            176,
            &[
                Call::Socket,
                Call::Connect,
                Call::Accept,
                Call::Accept4,
                Call::Send,
                Call::Recv,
                Call::SendTo,
                Call::RecvFrom,
                Call::SendMsg,
                Call::RecvMsg,
                Call::SendMmsg,
                Call::RecvMmsg,
                Call::Sendfile,
                Call::CopyFileRange,
                Call::Socketpair,
            ],
        ),
        (262, &[Call::Fork, Call::Spawn, Call::Spawnp, Call::Exec, Call::Exit, Call::ExitNow]),
        (96, &[Call::Fcntl, Call::Pipe]),
    ];
    for (hue, calls) in kinds {
        if let Some(place) = calls.iter().position(|member| *member == call) {
            return (hue, place);
        }
    }
    // The rest, which is mostly stdio.h.
    (324, (call as usize).saturating_sub(Call::Fopen as usize))
}

#[cfg(test)]
mod tests {
    use super::colour;
    use crate::format::{Call, Layer};
    use std::collections::BTreeMap;

    #[test]
    fn every_call_has_its_own() {
        let mut seen = BTreeMap::new();
        for (call, layer, name) in Call::ALL {
            if *layer != Layer::Note {
                let before = seen.insert(colour(*call), name);
                assert_eq!(before, None, "{name} looks the same");
            }
        }
    }
}
