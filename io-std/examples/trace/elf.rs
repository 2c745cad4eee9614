//! What an ELF file says of how it is started. It may be any file: nothing in it is believed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The machine this program was built for, as ELF numbers it.
#[cfg(target_arch = "x86_64")]
const MACHINE: u16 = 62;
#[cfg(target_arch = "aarch64")]
const MACHINE: u16 = 183;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const MACHINE: u16 = 0;

const PT_INTERP: u32 = 3;
/// Bytes of a program header.
const ENTRY: usize = 56;

/// How it is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By this dynamic loader.
    Dynamic(String),
    /// By the kernel alone: nothing can be preloaded.
    Static,
    /// For another machine, or of another word size.
    Foreign,
}

/// Whether a file that begins like this is ELF.
pub(crate) fn is_elf(head: &[u8]) -> bool {
    head.starts_with(b"\x7fELF")
}

/// Reads the headers.
pub(crate) fn examine(file: &File) -> io::Result<Kind> {
    let mut head = [0; 64];
    if file.read_exact_at(&mut head, 0).is_err() {
        return Ok(Kind::Foreign);
    }
    // 64 bits, least significant byte first.
    if !is_elf(&head) || head[4] != 2 || head[5] != 1 || half(&head, 18) != MACHINE {
        return Ok(Kind::Foreign);
    }
    let (offset, size, count) = (long(&head, 32), half(&head, 54), half(&head, 56));
    if usize::from(size) != ENTRY {
        return Ok(Kind::Foreign);
    }
    let mut table = vec![0; ENTRY * usize::from(count)];
    if file.read_exact_at(&mut table, offset).is_err() {
        return Ok(Kind::Foreign);
    }
    let interp = table.chunks_exact(ENTRY).find(|entry| word(entry, 0) == PT_INTERP);
    let Some(interp) = interp else { return Ok(Kind::Static) };
    let len = usize::try_from(long(interp, 32)).unwrap_or(usize::MAX).min(4096);
    let mut path = vec![0; len];
    if file.read_exact_at(&mut path, long(interp, 8)).is_err() {
        return Ok(Kind::Foreign);
    }
    let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
    Ok(Kind::Dynamic(String::from_utf8_lossy(path).into_owned()))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from(half(bytes, at)) | u32::from(half(bytes, at + 2)) << 16
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from(word(bytes, at)) | u64::from(word(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::{ENTRY, Kind, MACHINE, examine};
    use std::fs::File;
    use std::io::Write;

    fn kind_of(bytes: &[u8]) -> Kind {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        examine(&File::open(file.path()).expect("opens")).expect("read")
    }

    /// A file with one program header of this type, and a loader's path.
    pub(super) fn elf(kind: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18..20].copy_from_slice(&MACHINE.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = u8::try_from(ENTRY).expect("small");
        bytes[56] = 1;
        bytes.resize(64 + ENTRY, 0);
        bytes[64] = kind;
        bytes[64 + 8] = 120;
        bytes[64 + 32] = 7;
        bytes.extend(b"/ld.so\0");
        bytes
    }

    #[test]
    fn the_loader_is_read() {
        assert_eq!(kind_of(&elf(3)), Kind::Dynamic("/ld.so".to_owned()));
        assert_eq!(kind_of(&elf(1)), Kind::Static);
    }

    #[test]
    fn our_own_program_is_dynamic() {
        let this = std::env::current_exe().expect("a path");
        let kind = examine(&File::open(this).expect("opens")).expect("read");
        assert!(matches!(&kind, Kind::Dynamic(loader) if loader.starts_with('/')), "{kind:?}");
    }

    #[test]
    fn a_file_that_is_cut_or_wrong_anywhere_is_no_panic() {
        let whole = elf(3);
        for len in 0..whole.len() {
            kind_of(&whole[..len]);
        }
        for at in 0..whole.len() {
            for wrong in [0, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = wrong;
                kind_of(&bytes);
            }
        }
        assert_eq!(kind_of(b"\x7fELF"), Kind::Foreign);
    }
}
