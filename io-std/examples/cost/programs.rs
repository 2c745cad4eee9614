//! What is run: three programs that do nothing but what is measured, and the list that the tests trace.

#[allow(dead_code, reason = "the tests install what is missing")]
#[path = "../../tests/trace/list.rs"]
mod list;

use list::PROGRAMS;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program to be run again and again, each time in a new folder.
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) command: Vec<OsString>,
    /// Where its folders are made.
    pub(crate) dir: PathBuf,
    pub(crate) prepare: Prepare,
}

/// What is done before a run, in its folder.
pub(crate) type Prepare = Box<dyn Fn(&Path) -> io::Result<()>>;

/// The files to work on.
pub(crate) struct Tree {
    pub(crate) path: PathBuf,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Copies up to `most` files, as they come in the order of their names.
pub(crate) fn tree(from: &Path, most: usize, to: &Path) -> io::Result<Tree> {
    let mut tree = Tree { path: to.join("tree"), files: 0, bytes: 0 };
    let path = tree.path.clone();
    copy(from, &path, most, &mut tree)?;
    if tree.files == 0 {
        return Err(io::Error::other(format!(
            "no files in {}; --tree names others",
            from.display()
        )));
    }
    Ok(tree)
}

fn copy(from: &Path, to: &Path, most: usize, tree: &mut Tree) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let mut entries = fs::read_dir(from)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if tree.files == most {
            return Ok(());
        }
        if kind.is_dir() {
            copy(&entry.path(), &to, most, tree)?;
        } else if kind.is_file() {
            tree.bytes += fs::copy(entry.path(), to)?;
            tree.files += 1;
        }
    }
    Ok(())
}

/// All of them.
pub(crate) fn all(tree: &Tree, dir: &Path) -> io::Result<Vec<Workload>> {
    let mut all = alone(tree, dir)?;
    for program in &PROGRAMS {
        let mut command: Vec<OsString> = ["sh", "-c", program.script, "sh"].map(Into::into).into();
        command.push(tree.path.clone().into());
        all.push(Workload {
            name: format!("script: {}", program.name),
            command,
            dir: dir.to_owned(),
            prepare: Box::new(|_| Ok(())),
        });
    }
    Ok(all)
}

/// `tar`, `git clone` and `sqlite3` by themselves.
fn alone(tree: &Tree, dir: &Path) -> io::Result<Vec<Workload>> {
    let words = |words: &[&str]| words.iter().map(Into::into).collect::<Vec<OsString>>();
    let path = tree.path.display().to_string();
    let from = dir.join("from");
    let repository = |script: &str| {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .arg(&tree.path)
            .arg(&from)
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        shell.stdin(Stdio::null()).output()
    };
    repository(
        "cp -r \"$1\" \"$2\" && cd \"$2\" && git init -q && git add -A . && \
         git -c user.name=n -c user.email=e commit -q -m m",
    )?;
    let inserts = |rows: usize, begin: &'static str, end: &'static str| -> Prepare {
        Box::new(move |dir| {
            let rows = (0..rows).map(|row| format!("insert into t values({row});\n"));
            let rows: String = rows.collect();
            fs::write(dir.join("sql"), format!("create table t(a);\n{begin}{rows}{end}"))
        })
    };
    let workload = |name: &str, command: &[&str], prepare: Prepare| Workload {
        name: name.to_owned(),
        command: words(command),
        dir: dir.to_owned(),
        prepare,
    };
    let from = from.display().to_string();
    Ok(vec![
        workload("tar", &["tar", "cf", "a.tar", "-C", &path, "."], Box::new(|_| Ok(()))),
        workload(
            "git clone",
            &["git", "clone", "-q", "--no-local", &from, "to"],
            Box::new(|_| Ok(())),
        ),
        workload(
            "sqlite3, 10 000 inserts in one transaction",
            &["sqlite3", "db", ".read sql"],
            inserts(10_000, "begin;\n", "commit;\n"),
        ),
        workload(
            "sqlite3, 100 inserts, a transaction for each",
            &["sqlite3", "db", ".read sql"],
            inserts(100, "", ""),
        ),
    ])
}
